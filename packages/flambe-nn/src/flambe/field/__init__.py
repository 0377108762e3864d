"""Fields: raw columns to tensors."""

from flambe.field.bow import BoWField
from flambe.field.field import Field
from flambe.field.label import LabelField
from flambe.field.number import NumberField
from flambe.field.text import TextField

__all__ = ["BoWField", "Field", "LabelField", "NumberField", "TextField"]
