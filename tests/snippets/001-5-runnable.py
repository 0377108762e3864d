"""The S3 pusher, with secrets

put right: `S3_client` and `s3C` are one client, `self.bucketname` is `self.bucket_name`; the secret is given to boto3 as its session token
"""

import os

import boto3
from moto import mock_aws

from flambe.runnable import Runnable


class S3Pusher(Runnable):
    def __init__(self, experiment_path: str, bucket_name: str) -> None:
        super().__init__()
        self.experiment_path = experiment_path
        self.bucket_name = bucket_name

    def run(self, **kwargs) -> None:
        """Upload a local folder to a S3 bucket"""

        # Code to upload to S3 bucket
        s3_client = boto3.client(
            "s3", aws_session_token=self.config["AWS"]["AWS_SECRET_TOKEN"], region_name="us-east-1"
        )
        for root, dirs, files in os.walk(self.experiment_path):
            for file in files:
                s3_client.upload_file(os.path.join(root, file), self.bucket_name, file)


os.makedirs("my/experiment")
with open("my/experiment/run.json", "w") as stream:
    stream.write("{}")
with open("secret.ini", "w") as stream:
    stream.write("[AWS]\nAWS_SECRET_TOKEN = ABCDEFGHI123456789\n")

with mock_aws():
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="my-bucket")
    pusher = S3Pusher("my/experiment", "my-bucket")
    pusher.inject_secrets("secret.ini")
    pusher.run()
    found = boto3.client("s3", region_name="us-east-1").list_objects_v2(Bucket="my-bucket")["Contents"]
    assert [entry["Key"] for entry in found] == ["run.json"]
