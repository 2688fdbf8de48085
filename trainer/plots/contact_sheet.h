// The images that a model got most wrong, as one picture.
#pragma once

#include <nlohmann/json.hpp>

#include "trainer/data/catalog.h"
#include "trainer/data/samples.h"
#include "trainer/plots/gnuplot.h"

namespace cddp {

// worst.png: the images of `worst` (the list of test.json, at most 25), numbered as in
// `samples` of the data set `info`, each under what it is, what it was taken for, and the
// probability that the model gave to the truth. Its data are the pixels, a byte a colour.
Picture ContactSheet(const nlohmann::json& worst, const Samples& samples, const DatasetInfo& info);

}  // namespace cddp
