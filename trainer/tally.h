// How right a model was.
#pragma once

#include <cmath>

namespace cddp {

// Sums over the targets seen by one worker: a label for each image, the next token for
// each of a text.
struct Tally {
  double loss = 0;
  double correct = 0;
  double samples = 0;

  Tally& operator+=(const Tally& other) {
    loss += other.loss;
    correct += other.correct;
    samples += other.samples;
    return *this;
  }
  // Of no samples there is no mean: not a number, null in JSON.
  double mean_loss() const { return samples > 0 ? loss / samples : std::nan(""); }
  double accuracy_percent() const { return samples > 0 ? 100.0 * correct / samples : 0.0; }
};

}  // namespace cddp
