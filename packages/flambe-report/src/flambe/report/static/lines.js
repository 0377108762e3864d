// Colours of lines, and how they are smoothed: for pages that are served and for those that are a file.
"use strict";
const palette = ["#3d8bfd", "#2da55d", "#9b5de5", "#e5a50a", "#14b8a6", "#d6336c", "#7a8699", "#5c940d", "#7950f2", "#0c8599"];

// Exponential moving average, started without the pull towards zero (Kingma and Ba, 2015, section 3).
function smoothed(values, weight) {
  let sum = 0;
  let share = 0;
  return values.map((value) => {
    if (value === null) return null;
    sum = weight * sum + (1 - weight) * value;
    share = weight * share + (1 - weight);
    return sum / share;
  });
}
