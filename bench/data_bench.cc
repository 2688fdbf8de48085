#include "bench/data_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "core/median.h"
#include "trainer/load_dataset.h"
#include "trainer/loader.h"
#include "trainer/number_range.h"
#include "trainer/report_file.h"

namespace cddp {

void AddDataBenchOptions(CLI::App* app, TrainOptions* o) {
  o->dataset = "cifar10";
  o->batch_size = 128;
  o->epochs = 5;
  app->add_option("--dataset", o->dataset, "Data set; text is Moby-Dick or --text-file");
  app->add_option("--data-dir", o->data_dir, "Folder of the data sets; missing ones are fetched");
  app->add_option("--text-file", o->text_file, "With --dataset text: the text");
  app->add_option("--tokens", o->tokens, "Of a text: bytes or chars");
  app->add_option("--context", o->context, "Tokens of a text that a sample has");
  app->add_option("--augment", o->augment, "none, crop-flip, or auto: crop-flip for cifar10");
  app->add_option("--batch-size", o->batch_size, "Samples of a batch")->check(NumberRange(1));
  app->add_option("--epochs", o->epochs, "How often all samples are made into batches")
      ->check(NumberRange(1));
  app->add_option("--seed", o->seed, "Seed of order and augmentation")->check(NumberRange(0));
  app->add_option("--json", o->json, "Write the result as JSON to this file (-: standard output)");
}

int DataBench(const TrainOptions& options) {
  RequireWritableReport(options.json);
  const DatasetSplits data = LoadOrFetchDataset(options);
  RequireBatchFits(options, /*world_size=*/1, data);
  Loader loader(data.train,
                DistributedSampler(data.train->count(), /*world_size=*/1, /*rank=*/0,
                                   static_cast<uint32_t>(options.batch_size), options.seed));
  std::vector<double> rates;
  for (int epoch = 0; epoch < options.epochs; ++epoch) {
    const auto start = std::chrono::steady_clock::now();
    loader.StartEpoch(static_cast<uint64_t>(epoch));
    for (uint32_t step = 0; step < loader.sampler().steps_per_epoch(); ++step) loader.Next();
    rates.push_back(
        data.train->count() /
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  const double median = MedianOf(rates);
  fmt::print(TableStream(options.json),
             "{}, augmentation {}, batches of {}: {:.0f} samples/s on one thread (median of {} "
             "epochs)\n",
             options.dataset, options.augment, options.batch_size, median, options.epochs);
  WriteJsonReport(options.json, {{"dataset", options.dataset},
                                 {"augment", options.augment},
                                 {"batch_size", options.batch_size},
                                 {"samples", data.train->count()},
                                 {"epochs", options.epochs},
                                 {"samples_per_s_median", median},
                                 {"samples_per_s_min", *std::ranges::min_element(rates)}});
  return 0;
}

}  // namespace cddp
