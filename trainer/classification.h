// What a classifier's answers add up to: the report of `cddp test`.
//
// Precision, recall and F1 are scikit-learn's: nothing divided by nothing is 0, and the macro
// average is of the classes that occur, as truth or as answer;
// the expected calibration error is that of Guo, Pleiss, Sun, Weinberger (ICML 2017) with
// 15 bins of equal width. Everything is computed from the answers in the order of the
// samples: the same answers give the same report, to the bit.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace cddp {

// Of one sample.
struct Answer {
  int truth = 0;
  int predicted = 0;
  double confidence = 0;   // the probability of `predicted`, in [0, 1]
  double probability = 0;  // that of `truth`
  double loss = 0;         // -log(probability)
};

struct ClassScore {
  double precision_fraction = 0;
  double recall_fraction = 0;
  double f1_fraction = 0;
  int64_t support = 0;  // samples of the class
};

struct Confusion {
  int truth = 0;
  int predicted = 0;
  int64_t count = 0;
};

struct CalibrationBin {
  double confidence_low = 0;
  double confidence_high = 0;
  int64_t samples = 0;
  std::optional<double> accuracy_fraction;    // nothing without samples
  std::optional<double> confidence_fraction;  // mean
};

struct ClassificationReport {
  int64_t samples = 0;
  double accuracy_percent = 0;
  double loss = 0;                                     // mean, nats
  std::vector<std::vector<int64_t>> confusion_matrix;  // [truth][predicted]
  std::vector<ClassScore> classes;
  ClassScore macro_average;               // of the classes that occur
  ClassScore weighted_average;            // by support
  std::vector<Confusion> top_confusions;  // at most 10, most frequent first
  double expected_calibration_error_fraction = 0;
  std::vector<CalibrationBin> calibration;
  std::vector<int64_t> worst;  // numbers of at most 25 samples, largest loss first
};

// `answers` holds at least one; truth and predicted are below `classes`, numbers are finite.
ClassificationReport Classify(std::span<const Answer> answers, int classes);

// With the names of the classes, and of the worst samples what was answered.
nlohmann::json ToJson(const ClassificationReport& report, std::span<const Answer> answers,
                      std::span<const std::string> class_names);

// As scikit-learn prints it, and the most frequent confusions.
std::string ToText(const ClassificationReport& report, std::span<const std::string> class_names);

}  // namespace cddp
