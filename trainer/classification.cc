#include "trainer/classification.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "trainer/json_file.h"

namespace cddp {
namespace {

constexpr size_t kWorst = 25;
constexpr size_t kConfusions = 10;
constexpr int kBins = 15;

double Share(double part, double whole) { return whole > 0 ? part / whole : 0; }

std::vector<ClassScore> Scores(const std::vector<std::vector<int64_t>>& matrix) {
  std::vector<ClassScore> scores(matrix.size());
  for (size_t c = 0; c < matrix.size(); ++c) {
    double answered = 0;
    for (const std::vector<int64_t>& row : matrix) answered += static_cast<double>(row[c]);
    ClassScore& score = scores[c];
    score.support = std::accumulate(matrix[c].begin(), matrix[c].end(), int64_t{0});
    const auto right = static_cast<double>(matrix[c][c]);
    const auto support = static_cast<double>(score.support);
    score.precision_fraction = Share(right, answered);
    score.recall_fraction = Share(right, support);
    score.f1_fraction = Share(2 * right, answered + support);
  }
  return scores;
}

ClassScore Average(const std::vector<ClassScore>& scores, const std::vector<double>& weights) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  ClassScore mean;
  for (size_t c = 0; c < scores.size(); ++c) {
    const double weight = weights[c] / sum;
    mean.support += scores[c].support;
    mean.precision_fraction += weight * scores[c].precision_fraction;
    mean.recall_fraction += weight * scores[c].recall_fraction;
    mean.f1_fraction += weight * scores[c].f1_fraction;
  }
  return mean;
}

std::vector<Confusion> TopConfusions(const std::vector<std::vector<int64_t>>& matrix) {
  std::vector<Confusion> confusions;
  for (size_t t = 0; t < matrix.size(); ++t) {
    for (size_t p = 0; p < matrix.size(); ++p) {
      if (t == p || matrix[t][p] == 0) continue;
      confusions.push_back({static_cast<int>(t), static_cast<int>(p), matrix[t][p]});
    }
  }
  std::ranges::stable_sort(confusions, std::ranges::greater(), &Confusion::count);
  confusions.resize(std::min(confusions.size(), kConfusions));
  return confusions;
}

std::vector<CalibrationBin> Calibrate(std::span<const Answer> answers) {
  std::vector<CalibrationBin> bins(kBins);
  std::vector<double> right(kBins), confidence(kBins);
  for (const Answer& answer : answers) {
    // A bin has its upper edge, not its lower one.
    const int bin =
        std::clamp(static_cast<int>(std::ceil(answer.confidence * kBins)) - 1, 0, kBins - 1);
    const auto b = static_cast<size_t>(bin);
    ++bins[b].samples;
    right[b] += answer.truth == answer.predicted;
    confidence[b] += answer.confidence;
  }
  for (size_t b = 0; b < bins.size(); ++b) {
    bins[b].confidence_low = static_cast<double>(b) / kBins;
    bins[b].confidence_high = static_cast<double>(b + 1) / kBins;
    if (bins[b].samples == 0) continue;
    bins[b].accuracy_fraction = right[b] / static_cast<double>(bins[b].samples);
    bins[b].confidence_fraction = confidence[b] / static_cast<double>(bins[b].samples);
  }
  return bins;
}

double CalibrationError(const std::vector<CalibrationBin>& bins, int64_t samples) {
  double error = 0;
  for (const CalibrationBin& bin : bins) {
    if (bin.samples == 0) continue;
    error += static_cast<double>(bin.samples) / static_cast<double>(samples) *
             std::abs(*bin.accuracy_fraction - *bin.confidence_fraction);
  }
  return error;
}

std::vector<int64_t> Worst(std::span<const Answer> answers) {
  std::vector<int64_t> numbers(answers.size());
  std::iota(numbers.begin(), numbers.end(), int64_t{0});
  const auto loss = [&](int64_t number) { return answers[static_cast<size_t>(number)].loss; };
  const size_t count = std::min(answers.size(), kWorst);
  std::partial_sort(
      numbers.begin(), numbers.begin() + static_cast<ptrdiff_t>(count), numbers.end(),
      [&](int64_t a, int64_t b) { return loss(a) != loss(b) ? loss(a) > loss(b) : a < b; });
  numbers.resize(count);
  return numbers;
}

nlohmann::json ToJson(const ClassScore& score) {
  return {{"precision_fraction", score.precision_fraction},
          {"recall_fraction", score.recall_fraction},
          {"f1_fraction", score.f1_fraction},
          {"support", score.support}};
}

nlohmann::json ToJson(const CalibrationBin& bin) {
  return {{"confidence_low", bin.confidence_low},
          {"confidence_high", bin.confidence_high},
          {"samples", bin.samples},
          {"accuracy_fraction", OrNull(bin.accuracy_fraction)},
          {"confidence_fraction", OrNull(bin.confidence_fraction)}};
}

}  // namespace

ClassificationReport Classify(std::span<const Answer> answers, int classes) {
  const auto count = static_cast<size_t>(classes);
  ClassificationReport report;
  report.samples = static_cast<int64_t>(answers.size());
  report.confusion_matrix.assign(count, std::vector<int64_t>(count));
  std::vector<double> occurs(count), support(count);
  double right = 0;
  double loss = 0;
  for (const Answer& answer : answers) {
    occurs[static_cast<size_t>(answer.truth)] = occurs[static_cast<size_t>(answer.predicted)] = 1;
    ++support[static_cast<size_t>(answer.truth)];
    ++report.confusion_matrix[static_cast<size_t>(answer.truth)]
                             [static_cast<size_t>(answer.predicted)];
    right += answer.truth == answer.predicted;
    loss += answer.loss;
  }
  report.accuracy_percent = 100 * right / static_cast<double>(report.samples);
  report.loss = loss / static_cast<double>(report.samples);
  report.classes = Scores(report.confusion_matrix);
  report.macro_average = Average(report.classes, occurs);
  report.weighted_average = Average(report.classes, support);
  report.top_confusions = TopConfusions(report.confusion_matrix);
  report.calibration = Calibrate(answers);
  report.expected_calibration_error_fraction = CalibrationError(report.calibration, report.samples);
  report.worst = Worst(answers);
  return report;
}

nlohmann::json ToJson(const ClassificationReport& report, std::span<const Answer> answers,
                      std::span<const std::string> class_names) {
  const auto name = [&](int c) { return class_names[static_cast<size_t>(c)]; };
  nlohmann::json classes = nlohmann::json::array();
  for (size_t c = 0; c < report.classes.size(); ++c) {
    classes.push_back(ToJson(report.classes[c]));
    classes.back()["name"] = class_names[c];
  }
  nlohmann::json confusions = nlohmann::json::array();
  for (const Confusion& c : report.top_confusions) {
    const int64_t support = report.classes[static_cast<size_t>(c.truth)].support;
    confusions.push_back(
        {{"true", name(c.truth)},
         {"predicted", name(c.predicted)},
         {"count", c.count},
         {"fraction", Share(static_cast<double>(c.count), static_cast<double>(support))}});
  }
  nlohmann::json calibration = nlohmann::json::array();
  for (const CalibrationBin& bin : report.calibration) calibration.push_back(ToJson(bin));
  nlohmann::json worst = nlohmann::json::array();
  for (const int64_t number : report.worst) {
    const Answer& answer = answers[static_cast<size_t>(number)];
    worst.push_back({{"index", number},
                     {"true", name(answer.truth)},
                     {"predicted", name(answer.predicted)},
                     {"probability", answer.probability},
                     {"loss", answer.loss}});
  }
  return {{"samples", report.samples},
          {"accuracy_percent", report.accuracy_percent},
          {"loss", report.loss},
          {"class_names", class_names},
          {"confusion_matrix", report.confusion_matrix},
          {"classes", classes},
          {"macro_average", ToJson(report.macro_average)},
          {"weighted_average", ToJson(report.weighted_average)},
          {"top_confusions", confusions},
          {"expected_calibration_error_fraction", report.expected_calibration_error_fraction},
          {"calibration", calibration},
          {"worst", worst}};
}

std::string ToText(const ClassificationReport& report, std::span<const std::string> class_names) {
  size_t width = sizeof("weighted average") - 1;
  for (const std::string& name : class_names) width = std::max(width, name.size());
  std::string text = fmt::format("{:>{}} {:>10} {:>8} {:>8} {:>9}\n\n", "", width, "precision",
                                 "recall", "F1", "support");
  const auto row = [&](const std::string& name, const ClassScore& score) {
    text += fmt::format("{:>{}} {:>10.4f} {:>8.4f} {:>8.4f} {:>9}\n", name, width,
                        score.precision_fraction, score.recall_fraction, score.f1_fraction,
                        score.support);
  };
  for (size_t c = 0; c < report.classes.size(); ++c) row(class_names[c], report.classes[c]);
  text += fmt::format("\n{:>{}} {:>10} {:>8} {:>8.4f} {:>9}\n", "accuracy", width, "", "",
                      report.accuracy_percent / 100, report.samples);
  row("macro average", report.macro_average);
  row("weighted average", report.weighted_average);
  text += fmt::format("\nloss {:.4f}, expected calibration error {:.4f}\n", report.loss,
                      report.expected_calibration_error_fraction);
  if (report.top_confusions.empty()) return text;
  text += "\nmost frequent confusions\n";
  for (const Confusion& c : report.top_confusions) {
    text += fmt::format("  {} taken for {}: {} of {}\n", class_names[static_cast<size_t>(c.truth)],
                        class_names[static_cast<size_t>(c.predicted)], c.count,
                        report.classes[static_cast<size_t>(c.truth)].support);
  }
  return text;
}

}  // namespace cddp
