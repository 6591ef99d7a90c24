// The study's page: all figures and tables, the machine, and beside each figure what was published. One HTML file that
// needs no other and no network.
#pragma once

#include <sys/utsname.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "../profile/resources.hpp"
#include "../report/svg_plot.hpp"
#include "../version.hpp"
#include "experiments.hpp"
#include "figures.hpp"
#include "measurements.hpp"

namespace ivado::study {

/// The machine of this process, a line for each thing that bears on time.
[[nodiscard]] inline std::vector<std::pair<std::string, std::string>> describe_machine() {
  std::vector<std::pair<std::string, std::string>> out;
  std::ifstream processor("/proc/cpuinfo");
  for (std::string line; std::getline(processor, line);)
    if (line.starts_with("model name")) {
      out.emplace_back("processor", line.substr(line.find(':') + 2));
      break;
    }
  out.emplace_back("cores", std::to_string(std::thread::hardware_concurrency()));
  const double bytes = MachineMemory::now().total_bytes;
  if (std::isfinite(bytes)) out.emplace_back("memory", ivado::detail::fixed_text(bytes / (1 << 30), 1) + " GiB");
  utsname system{};
  if (::uname(&system) == 0) out.emplace_back("system", std::string(system.sysname) + " " + system.release);
  out.emplace_back("ivado", version);
#ifdef __VERSION__
  out.emplace_back("compiler", __VERSION__);
#endif
  return out;
}

/// A question that the study answers with a ratio.
struct Ratio {
  std::string question;
  double ours = 0;
  double published = 0;
};

namespace detail {

/// The run of that name; null if there is none.
[[nodiscard]] inline const Measured* run_of(const std::vector<Measured>& runs, std::string_view experiment,
                                            std::string_view name) {
  for (const auto& run : runs)
    if (run.experiment == experiment && run.run == name) return &run;
  return nullptr;
}

/// A phase of what was published; all of them where none is named.
[[nodiscard]] inline double published_s(const Published& one, std::string_view phase) {
  return phase.empty()      ? one.data_s + one.training_s + one.post_s + one.threshold_s
         : phase == "DATA"  ? one.data_s
         : phase == "TRAIN" ? one.training_s
         : phase == "POST"  ? one.post_s
         : phase == "THR"   ? one.threshold_s
                            : 0;
}

/// The use of the machine in a phase as published; nothing of a phase that the study has not.
[[nodiscard]] inline std::optional<PublishedUse> published_use(const Published* one, std::string_view phase) {
  if (one == nullptr || !(published_s(*one, phase) > 0)) return std::nullopt;
  return one->use[phase == "DATA" ? 0 : phase == "TRAIN" ? 1 : phase == "POST" ? 2 : 3];
}

[[nodiscard]] inline std::string html(std::string_view text) { return ivado::detail::xml_text(text); }

/// A row of a table, of cells that are HTML already.
[[nodiscard]] inline std::string row(const std::vector<std::string>& cells, const char* tag = "td") {
  std::string out = "<tr>";
  for (const auto& cell : cells) out += std::string("<") + tag + ">" + cell + "</" + tag + ">";
  return out + "</tr>\n";
}
[[nodiscard]] inline std::string table(const std::vector<std::string>& head, const std::string& rows) {
  return "<div class=\"wide\"><table>\n<thead>" + row(head, "th") + "</thead>\n<tbody>\n" + rows +
         "</tbody></table></div>\n";
}
[[nodiscard]] inline std::string number(double value, int decimals) {
  return std::isfinite(value) ? ivado::detail::fixed_text(value, decimals) : "–";
}
[[nodiscard]] inline std::string percent(double part, double whole) {
  return whole > 0 ? number(100 * part / whole, 1) + " %" : "–";
}
[[nodiscard]] inline double median(std::vector<double> values) {
  std::erase_if(values, [](double value) { return !std::isfinite(value); });
  if (values.empty()) return not_measured;
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}
/// The mean of the last values, so many.
[[nodiscard]] inline double mean_of_last(const std::vector<double>& values, std::size_t count) {
  count = std::min(count, values.size());
  double total = 0;
  for (std::size_t i = values.size() - count; i < values.size(); ++i) total += values[i];
  return count == 0 ? not_measured : total / static_cast<double>(count);
}
[[nodiscard]] inline double sum(const std::vector<double>& values) {
  double out = 0;
  for (const double value : values) out += value;
  return out;
}

inline constexpr std::string_view page_style =
    ":root{--page:#fff;--ink:#1d2126;--faint:#5d6672;--line:#d9dde2;--band:#f5f7f9}\n"
    "@media (prefers-color-scheme: dark){:root{--page:#16181c;--ink:#e8e8e8;--faint:#a4acb6;--line:#383d44;"
    "--band:#1e2126}}\n"
    "body{margin:0 auto;max-width:1280px;padding:24px;background:var(--page);color:var(--ink);font:15px/1.5 "
    "system-ui,sans-serif}\n"
    "h1{font-size:1.7em} h2{margin-top:2.2em;border-bottom:1px solid var(--line)} h3{margin-bottom:.3em}\n"
    "p.note{color:var(--faint)} .wide{overflow-x:auto} figure{margin:1em 0;overflow-x:auto} "
    "figcaption{color:var(--faint)}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums} th,td{padding:3px 12px;text-align:right;"
    "border-bottom:1px solid var(--line)} th:first-child,td:first-child{text-align:left} "
    "tbody tr:nth-child(odd){background:var(--band)}\n"
    "nav a{margin-right:1em;color:inherit}\n";

}  // namespace detail

/// The study's questions that these runs answer (`experiments.md` of its description, section 7), with its ratios.
[[nodiscard]] inline std::vector<Ratio> ratios(const std::vector<Measured>& runs) {
  std::vector<Ratio> out;
  struct Term {
    std::string_view run;
    std::string_view phase;  ///< empty: the whole run
  };
  const auto seconds = [](const Measured& run, std::string_view phase) {
    return phase.empty() ? run.total_s() : run.phase_s(phase);
  };
  const auto ask = [&](std::string question, std::string_view experiment, Term above, Term below) {
    const Measured* const a = detail::run_of(runs, experiment, above.run);
    const Measured* const b = detail::run_of(runs, experiment, below.run);
    const Published* const c = published_of(experiment, above.run);
    const Published* const d = published_of(experiment, below.run);
    if (a == nullptr || b == nullptr || c == nullptr || d == nullptr) return;
    out.push_back({std::move(question), seconds(*a, above.phase) / seconds(*b, below.phase),
                   detail::published_s(*c, above.phase) / detail::published_s(*d, below.phase)});
  };
  ask("2-D U-Net: DATA to TRAIN", "segmentation", {"unet", "DATA"}, {"unet", "TRAIN"});
  ask("3-D U-Net: DATA to TRAIN", "segmentation", {"3dunet", "DATA"}, {"3dunet", "TRAIN"});
  ask("DATA: 3-D to 2-D", "segmentation", {"3dunet", "DATA"}, {"unet", "DATA"});
  ask("TRAIN: FiLM to plain U-Net", "segmentation", {"filmedunet", "TRAIN"}, {"unet", "TRAIN"});
  ask("POST: FiLM to plain U-Net", "segmentation", {"filmedunet", "POST"}, {"unet", "POST"});
  ask("POST: DenseNet to ResNet", "classification", {"densenet", "POST"}, {"resnet", "POST"});
  ask("TRAIN: DenseNet to ResNet", "classification", {"densenet", "TRAIN"}, {"resnet", "TRAIN"});
  ask("ResNet: POST to the whole run", "classification", {"resnet", "POST"}, {"resnet", ""});
  ask("DenseNet: POST to the whole run", "classification", {"densenet", "POST"}, {"densenet", ""});
  ask("U-Net, data ×1 to ×0.5: DATA", "scale", {"unet_1", "DATA"}, {"unet_0.5", "DATA"});
  ask("U-Net, data ×2 to ×1: DATA", "scale", {"unet_2", "DATA"}, {"unet_1", "DATA"});
  ask("U-Net, data ×1 to ×0.5: TRAIN", "scale", {"unet_1", "TRAIN"}, {"unet_0.5", "TRAIN"});
  ask("U-Net, data ×2 to ×1: TRAIN", "scale", {"unet_2", "TRAIN"}, {"unet_1", "TRAIN"});
  ask("3-D U-Net, data ×2 to ×1: DATA", "scale", {"3dunet_2", "DATA"}, {"3dunet_1", "DATA"});
  ask("3-D U-Net, data ×0.5: DATA to TRAIN", "scale", {"3dunet_0.5", "DATA"}, {"3dunet_0.5", "TRAIN"});
  ask("3-D U-Net, data ×1: DATA to TRAIN", "scale", {"3dunet_1", "DATA"}, {"3dunet_1", "TRAIN"});
  ask("3-D U-Net, data ×2: DATA to TRAIN", "scale", {"3dunet_2", "DATA"}, {"3dunet_2", "TRAIN"});
  ask("ResNet, data ×10 to ×1: DATA", "scale", {"resnet_10", "DATA"}, {"resnet_1", "DATA"});
  ask("ResNet, data ×10 to ×1: TRAIN", "scale", {"resnet_10", "TRAIN"}, {"resnet_1", "TRAIN"});
  ask("ResNet, data ×1: DATA to TRAIN", "scale", {"resnet_1", "DATA"}, {"resnet_1", "TRAIN"});
  ask("ResNet, data ×10: DATA to TRAIN", "scale", {"resnet_10", "DATA"}, {"resnet_10", "TRAIN"});
  ask("Threshold analysis: step 0.01 to 0.1", "threshold", {"unet_0.01", "THR"}, {"unet_0.1", "THR"});
  ask("Threshold analysis, step 0.1, to the whole run", "threshold", {"unet_0.1", "THR"}, {"unet_0.1", ""});
  ask("Threshold analysis, step 0.01, to the whole run", "threshold", {"unet_0.01", "THR"}, {"unet_0.01", ""});
  ask("Transfer, 25 % trained, to all trained: TRAIN", "transfer", {"unet25", "TRAIN"}, {"unet", "TRAIN"});
  ask("Transfer, 50 % trained, to all trained: TRAIN", "transfer", {"unet50", "TRAIN"}, {"unet", "TRAIN"});
  ask("Transfer, 75 % trained, to all trained: TRAIN", "transfer", {"unet75", "TRAIN"}, {"unet", "TRAIN"});
  ask("Batches of 32 to 16: TRAIN", "batch", {"batch_32", "TRAIN"}, {"batch_16", "TRAIN"});
  return out;
}

/// The figures of an experiment by their file names.
[[nodiscard]] inline std::vector<std::pair<std::string, std::string>> figures_of(const Experiment& experiment,
                                                                                 const std::vector<Measured>& runs) {
  return {{"subplot", utilisation_svg(runs, experiment.title + ": use of the machine by phase")},
          {"time_per_comp_plot", phase_time_svg(runs, experiment.title + ": time by phase")},
          {"time_by_work_plot", work_time_svg(runs, experiment.title + ": time by what it was spent on")},
          {"training_subplot",
           batches_svg(runs, &Measured::training, "train_", experiment.title + ": mini-batches of training")},
          {"validation_subplot",
           batches_svg(runs, &Measured::validation, "val_", experiment.title + ": mini-batches of validation")}};
}

namespace detail {

/// The number of epochs that the runs of an experiment were to have.
[[nodiscard]] inline std::size_t epochs_of(const Experiment& experiment) {
  const Json& training = experiment.runs.front().configuration.at("training_parameters");
  return training.at("training_time").at("num_epochs").get<std::size_t>();
}

/// The table of the mini-batches of training, or of validation.
[[nodiscard]] inline std::string batch_table(const std::string& title, const Experiment& experiment,
                                             const std::vector<Measured>& runs, bool is_training) {
  std::string rows;
  for (const auto& run : runs) {
    const Published* const known = published_of(run.experiment, run.run);
    const Log& log = is_training ? run.training : run.validation;
    const auto times = log.column("time");
    const auto losses = log.column(is_training ? "train_loss" : "val_loss");
    const auto per_epoch = losses.size() / std::max<std::size_t>(epochs_of(experiment), 1);
    const auto theirs = [&](double value, int decimals) { return known == nullptr ? "–" : number(value, decimals); };
    const Published none{};
    const Published& them = known == nullptr ? none : *known;
    const int batches = is_training ? them.training_batches : them.validation_batches;
    const double whole = is_training ? them.batches_s : them.validation_s;
    rows += row({html(run.run), std::to_string(times.size()), theirs(batches, 0), number(median(times), 4),
                 is_training ? theirs(them.batch_s, 3) : "–", number(sum(times), 2),
                 percent(sum(times), run.phase_s("TRAIN")), known == nullptr ? "–" : percent(whole, them.training_s),
                 number(sum(log.column("waiting_s")), 2), number(mean_of_last(losses, per_epoch), 4),
                 theirs(is_training ? them.training_loss : them.validation_loss, 4),
                 number(median(log.column("resident_mib")), 0)});
  }
  return "<h3>" + html(title) + "</h3>\n" +
         table({"configuration", "mini-batches", "published", "median, s", "published", "sum, s", "of TRAIN",
                "published", "waiting for data, s", "loss, last epoch", "published", "memory, MiB"},
               rows);
}

}  // namespace detail

/// The page.
/// @param experiments  those of `runs`, in their order
/// @param notes        what the reader has to know: reductions, data, threads
[[nodiscard]] inline std::string page_html(const std::vector<Experiment>& experiments,
                                           const std::vector<Measured>& runs, const std::vector<std::string>& notes) {
  using namespace detail;
  std::string out =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>Profile study</title>\n<style>\n" +
      std::string(page_style) +
      "</style></head><body>\n<h1>Profile study</h1>\n<p>Where the time of a training goes: "
      "the experiments of the profile study of ivadomed, run with ivado. Beside each of our figures stands what the "
      "study "
      "published; its seconds are of another machine with a graphics processor, so compare shares and "
      "ratios.</p>\n<nav>";
  for (const auto& experiment : experiments)
    out += "<a href=\"#" + html(experiment.name) + "\">" + html(experiment.title) + "</a>";
  out += "</nav>\n<h2>Machine and settings</h2>\n";
  std::string rows;
  for (const auto& [what, is] : describe_machine()) rows += row({html(what), html(is)});
  out += table({"what", ""}, rows);
  if (!notes.empty()) {
    out += "<ul>\n";
    for (const auto& note : notes) out += "<li>" + html(note) + "</li>\n";
    out += "</ul>\n";
  }
  const auto asked = ratios(runs);
  if (!asked.empty()) {
    rows.clear();
    for (const auto& one : asked) rows += row({html(one.question), number(one.ours, 2), number(one.published, 2)});
    out += "<h2>Ratios</h2>\n" + table({"question", "here", "published"}, rows);
  }
  for (const auto& experiment : experiments) {
    std::vector<Measured> of;
    for (const auto& run : runs)
      if (run.experiment == experiment.name) of.push_back(run);
    if (of.empty()) continue;
    out += "<h2 id=\"" + html(experiment.name) + "\">" + html(experiment.title) + "</h2>\n<p>" +
           html(experiment.question) + "</p>\n";
    const auto phases = phases_of(of);
    std::vector<std::string> head{"configuration"};
    for (const auto& phase : phases) head.insert(head.end(), {html(phase) + ", s", "share", "published share"});
    head.insert(head.end(), {"total, s", "± between repeats"});
    rows.clear();
    for (const auto& run : of) {
      const Published* const known = published_of(run.experiment, run.run);
      double whole = 0;
      for (const auto& phase : phases) whole += known == nullptr ? 0 : published_s(*known, phase);
      std::vector<std::string> cells{html(run.run)};
      for (const auto& phase : phases) {
        cells.push_back(number(run.phase_s(phase), 2));
        cells.push_back(percent(run.phase_s(phase), run.total_s()));
        cells.push_back(known == nullptr ? "–" : percent(published_s(*known, phase), whole));
      }
      cells.push_back(number(run.total_s(), 2));
      cells.push_back(run.repeats > 1 ? number(run.spread_s, 2) : "–");
      rows += row(cells);
    }
    out += "<h3>By phase</h3>\n" + table(head, rows);
    rows.clear();
    for (const auto& run : of) {
      const double whole =
          run.work_s("data") + run.work_s("computing") + run.work_s("postprocessing") + run.work_s("saving");
      std::vector<std::string> cells{html(run.run)};
      for (const char* kind : {"data", "computing", "postprocessing", "saving"}) {
        cells.push_back(number(run.work_s(kind), 2));
        cells.push_back(percent(run.work_s(kind), whole));
        cells.push_back(number(run.work_s(kind, "processor_s"), 2));
      }
      cells.push_back(number(run.work_s("profiler", "processor_s"), 3));
      rows += row(cells);
    }
    out +=
        "<h3>By what the time was spent on</h3>\n<p class=\"note\">Whatever phase it was in: reading and transforms "
        "count as data where they run, in the loader's threads as well. Time that passed, its share, and processor "
        "time of all threads.</p>\n" +
        table({"configuration", "data, s", "share", "processor, s", "computing, s", "share", "processor, s",
               "post-processing, s", "share", "processor, s", "saving, s", "share", "processor, s",
               "profiler, processor s"},
              rows);
    rows.clear();
    for (const auto& run : of)
      for (const auto& phase : phases) {
        const auto known = published_use(published_of(run.experiment, run.run), phase);
        std::vector<std::string> cells{html(run.run), html(phase)};
        for (const auto& [column, theirs] : {std::pair{"gpu_util", &PublishedUse::gpu},
                                             {"gpu_mem_traffic", &PublishedUse::gpu_traffic},
                                             {"cpu_util", &PublishedUse::cpu},
                                             {"main_mem", &PublishedUse::memory}}) {
          cells.push_back(number(100 * run.system.value(phase, column), 0));
          cells.push_back(known ? std::to_string((*known).*theirs) : "–");
        }
        rows += row(cells);
      }
    out +=
        "<h3>Use of the machine</h3>\n<p class=\"note\">In percent, of the whole machine. The published figures stand "
        "where they belong: the headings of the study's files swap the processor and the memory of the graphics "
        "processor, and that memory is the share of time in which it was read or written.</p>\n" +
        table({"configuration", "phase", "GPU, %", "published", "traffic of its memory, %", "published", "CPU, %",
               "published", "main memory, %", "published"},
              rows);
    out += batch_table("Mini-batches of training", experiment, of, true) +
           batch_table("Mini-batches of validation", experiment, of, false);
    for (const auto& [name, svg] : figures_of(experiment, of))
      out +=
          "<figure>" + svg + "<figcaption>" + html(experiment.name + "/" + name + ".svg") + "</figcaption></figure>\n";
  }
  return out + "</body></html>\n";
}

/// Two machines' results side by side: the phases of each configuration that both have.
/// @return  a page and a table as CSV
[[nodiscard]] inline std::pair<std::string, std::string> comparison(const std::vector<Measured>& first,
                                                                    const std::vector<Measured>& second,
                                                                    const std::string& first_name,
                                                                    const std::string& second_name) {
  using namespace detail;
  std::string rows;
  std::string table_text = "experiment,configuration,phase,first_s,second_s,second_to_first\n";
  for (const auto& one : first) {
    const Measured* const other = run_of(second, one.experiment, one.run);
    if (other == nullptr) continue;
    for (const auto& phase : phases_of({one, *other})) {
      const double a = one.phase_s(phase);
      const double b = other->phase_s(phase);
      rows += row({html(one.experiment + ": " + one.run), html(phase), number(a, 2), percent(a, one.total_s()),
                   number(b, 2), percent(b, other->total_s()), number(b / a, 2)});
      table_text +=
          one.experiment + "," + one.run + "," + phase + "," + ivado::detail::text(a, ",", b, ",", b / a, "\n");
    }
  }
  std::string out =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Two profile studies</title>\n<style>\n" +
      std::string(page_style) + "</style></head><body>\n<h1>Two profile studies</h1>\n<p>First: " + html(first_name) +
      ". Second: " + html(second_name) + ".</p>\n" +
      table({"configuration", "phase", "first, s", "share", "second, s", "share", "second to first"}, rows) +
      "</body></html>\n";
  return {std::move(out), std::move(table_text)};
}

}  // namespace ivado::study
