// Checkpoints: everything that a training needs to go on as if it had never stopped, in one safetensors file.
//
// Schedules and random draws are functions of seed, epoch and batch, so beside the tensors of net and optimiser only
// a few numbers are kept. In the file:
//   model.<name>      the tensors of the net
//   optimizer.<name>  what the optimiser remembers
//   training.state    int64 [5]: seed, best epoch, epochs without improvement, best loss, reference of early stopping
//   training.epochs   int64 [n, 7]: epoch, whether it is the best so far, learning rate, training loss, validation
//                     loss, seconds, seconds of waiting
// where numbers that are no integers are the bits of a float64, since safetensors of ivado have no such type.
#pragma once

#include <ATen/ATen.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../config/json.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "../interop/safetensors.hpp"
#include "../model/net.hpp"
#include "../nn/weights.hpp"
#include "../version.hpp"
#include "optimizer.hpp"
#include "trainer.hpp"

namespace ivado {

namespace detail {

inline constexpr std::string_view checkpoint_format = "1";

[[nodiscard]] IVADO_INLINE std::string hexadecimal(std::uint32_t number) {
  char out[9];
  std::snprintf(out, sizeof out, "%08x", static_cast<unsigned>(number));
  return out;
}

/// CRC32 of all names, types, shapes and bytes of the tensors and of all metadata but "crc32".
[[nodiscard]] IVADO_INLINE std::string checksum(const nn::Weights& weights) {
  uLong sum = 0;
  const auto add = [&](const void* bytes, std::size_t size) {
    const std::uint64_t length = size;
    sum = crc32_z(sum, reinterpret_cast<const Bytef*>(&length), sizeof length);
    if (size > 0) sum = crc32_z(sum, static_cast<const Bytef*>(bytes), size);
  };
  for (const auto& [key, value] : weights.metadata) {
    if (key == "crc32") continue;
    add(key.data(), key.size());
    add(value.data(), value.size());
  }
  for (const auto& tensor : weights.tensors) {
    const auto type = static_cast<std::int64_t>(tensor.type);
    add(tensor.name.data(), tensor.name.size());
    add(&type, sizeof type);
    add(tensor.shape.data(), tensor.shape.size() * sizeof(std::int64_t));
    add(tensor.bytes.data(), tensor.bytes.size());
  }
  return hexadecimal(static_cast<std::uint32_t>(sum));
}

/// A value for messages, on one line and not too long.
[[nodiscard]] IVADO_INLINE std::string shortened(const Json& value) {
  constexpr std::size_t longest = 120;
  const std::string all = value.dump();
  return all.size() <= longest ? all : all.substr(0, longest) + "…";
}

/// Lists the keys in which two descriptions differ, each with both values; the order of keys counts.
IVADO_INLINE void list_differences(const Json& saved, const Json& now, const std::string& path,
                                   std::vector<std::string>& out) {
  if (!saved.is_object() || !now.is_object()) {
    if (saved != now)
      out.push_back(path + " is " + shortened(saved) + " in the checkpoint, " + shortened(now) + " now");
    return;
  }
  const auto below = [&](const std::string& key) { return path.empty() ? key : path + "." + key; };
  std::string saved_order;
  std::string order;
  for (const auto& [key, value] : saved.items()) {
    if (now.contains(key)) {
      list_differences(value, now[key], below(key), out);
      saved_order += (saved_order.empty() ? "" : ", ") + key;
    } else {
      out.push_back(below(key) + " is " + shortened(value) + " in the checkpoint, not there now");
    }
  }
  for (const auto& [key, value] : now.items()) {
    if (saved.contains(key))
      order += (order.empty() ? "" : ", ") + key;
    else
      out.push_back(below(key) + " is not there in the checkpoint, " + shortened(value) + " now");
  }
  if (order != saved_order)
    out.push_back("the order in " + (path.empty() ? "the description" : path) + " is " + saved_order +
                  " in the checkpoint, " + order + " now");
}

/// Integers as a tensor.
[[nodiscard]] IVADO_INLINE nn::WeightTensor integers(std::string name, std::vector<std::int64_t> shape,
                                                     const std::vector<std::int64_t>& values) {
  nn::WeightTensor out{std::move(name), nn::ElementType::int64, std::move(shape), {}};
  out.bytes.resize(values.size() * sizeof(std::int64_t));
  if (!values.empty()) std::memcpy(out.bytes.data(), values.data(), out.bytes.size());
  return out;
}
[[nodiscard]] IVADO_INLINE std::vector<std::int64_t> integers(const nn::WeightTensor& tensor) {
  std::vector<std::int64_t> out(tensor.bytes.size() / sizeof(std::int64_t));
  if (!out.empty()) std::memcpy(out.data(), tensor.bytes.data(), out.size() * sizeof(std::int64_t));
  return out;
}

inline constexpr std::size_t numbers_of_state = 5;
inline constexpr std::size_t numbers_of_epoch = 7;

[[nodiscard]] IVADO_INLINE std::vector<nn::WeightTensor> to_tensors(const TrainingState& state) {
  const auto bits = [](double value) { return std::bit_cast<std::int64_t>(value); };
  std::vector<std::int64_t> epochs;
  for (const auto& one : state.epochs)
    epochs.insert(epochs.end(), {one.epoch, one.is_best ? 1 : 0, bits(one.learning_rate), bits(one.training_loss),
                                 bits(one.validation_loss), bits(one.seconds), bits(one.waiting_s)});
  const auto n = static_cast<std::int64_t>(state.epochs.size());
  return {integers("training.state", {numbers_of_state},
                   {std::bit_cast<std::int64_t>(state.seed), state.best_epoch, state.without_improvement,
                    bits(state.best), bits(state.reference)}),
          integers("training.epochs", {n, numbers_of_epoch}, epochs)};
}

/// @throws Error (data) if one of the two is missing or has another shape
[[nodiscard]] IVADO_INLINE TrainingState to_training_state(const nn::Weights& weights, const std::string& doing) {
  const auto* state = weights.find("training.state");
  const auto* epochs = weights.find("training.epochs");
  if (state == nullptr || epochs == nullptr || state->type != nn::ElementType::int64 ||
      epochs->type != nn::ElementType::int64 || state->shape != std::vector<std::int64_t>{numbers_of_state} ||
      epochs->shape.size() != 2 || epochs->shape[1] != numbers_of_epoch)
    throw data_error(doing, "training.state or training.epochs is missing or has another shape",
                     "train anew, or give a checkpoint of ivado");
  const auto number = [](std::int64_t bits) { return std::bit_cast<double>(bits); };
  const auto numbers = integers(*state);
  TrainingState out{std::bit_cast<std::uint64_t>(numbers[0]),
                    {},
                    number(numbers[3]),
                    static_cast<int>(numbers[1]),
                    number(numbers[4]),
                    static_cast<int>(numbers[2])};
  const auto rows = integers(*epochs);
  for (auto row = rows.begin(); row != rows.end(); row += numbers_of_epoch)
    out.epochs.push_back({static_cast<int>(row[0]), number(row[2]), number(row[3]), number(row[4]), number(row[5]),
                          number(row[6]), row[1] != 0});
  return out;
}

/// The tensors whose names begin with `prefix`, without it; taken out of `weights`.
[[nodiscard]] IVADO_INLINE std::vector<nn::WeightTensor> take_prefixed(nn::Weights& weights, std::string_view prefix) {
  std::vector<nn::WeightTensor> out;
  for (auto& tensor : weights.tensors)
    if (tensor.name.starts_with(prefix)) {
      out.push_back(std::move(tensor));
      out.back().name.erase(0, prefix.size());
      tensor.name.clear();
    }
  return out;
}

}  // namespace detail

/// Writes the state of a training after an epoch: beside its place, flushed to disk, then renamed, so that the file of
/// the epoch before stays until the new one is whole.
///
/// @param description  what the numbers of the training depend on (types and parameters, not paths or threads), as an
///                     object; it is kept, and another one is refused by `load_checkpoint`
/// @throws Error (internal) if the file cannot be written (disk full, no permission); the earlier one is unharmed
/// @throws Error (usage) if a tensor of the net is float64, which would lose digits
template <class AnyNet, Optimizer Optimiser>
void save_checkpoint(const std::string& path, const AnyNet& net, const Optimiser& optimizer, const TrainingState& state,
                     const Json& description) {
  const auto names = net.names();
  const auto tensors = net.tensors();
  for (std::size_t i = 0; i < names.size(); ++i)
    if (tensors[i].scalar_type() == at::kDouble)
      throw usage_error("writing the checkpoint " + path, names[i] + " is float64, and a checkpoint holds float32",
                        "convert the model to float32");
  nn::Weights all = weights_of(net);
  for (auto& tensor : all.tensors) tensor.name.insert(0, "model.");
  for (auto& tensor : optimizer.state()) {
    tensor.name.insert(0, "optimizer.");
    all.tensors.push_back(std::move(tensor));
  }
  for (auto& tensor : detail::to_tensors(state)) all.tensors.push_back(std::move(tensor));
  const std::string described = description.dump();
  all.metadata = {{"ivado", version},
                  {"checkpoint", std::string(detail::checkpoint_format)},
                  {"epoch", std::to_string(state.epochs.size())},
                  {"pipeline", described},
                  {"digest", detail::hexadecimal(static_cast<std::uint32_t>(
                                 crc32_z(0, reinterpret_cast<const Bytef*>(described.data()), described.size())))}};
  all.metadata["crc32"] = detail::checksum(all);
  write_safetensors(path, all);
}

/// Gives net and optimiser the state of a checkpoint, and returns where the training was: hand it to `fit`.
///
/// The net must be as the training began it: on its device, with the same layers frozen.
/// @param description  of this pipeline, as it was given to `save_checkpoint`
/// @throws Error (data) if the file is missing, damaged (its checksum is compared) or no checkpoint
/// @throws Error (usage) if it is of another pipeline, listing each key that differs with both values. In both cases
///         net and optimiser are unchanged.
template <class AnyNet, Optimizer Optimiser>
[[nodiscard]] TrainingState load_checkpoint(const std::string& path, AnyNet& net, Optimiser& optimizer,
                                            const Json& description) {
  const std::string doing = "resuming the training from " + path;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    throw data_error(doing, "there is no such file", "check the path, or train from the beginning");
  nn::Weights all = read_safetensors(path);
  const auto said = [&](const char* key) {
    const auto found = all.metadata.find(key);
    return found == all.metadata.end() ? std::string() : found->second;
  };
  if (said("crc32").empty())
    throw data_error(doing, "it is no checkpoint of a training: it has no checksum",
                     "give the checkpoint that ivado wrote while training");
  if (const std::string sum = detail::checksum(all); said("crc32") != sum)
    throw data_error(doing, "it is damaged: its checksum is " + sum + ", it says " + said("crc32"),
                     "restore the file from a copy, or train from the beginning");
  if (said("checkpoint") != detail::checkpoint_format)
    throw data_error(doing,
                     "it has the format " + nn::quoted(said("checkpoint")) + ", this version of ivado reads " +
                         std::string(detail::checkpoint_format),
                     "resume with ivado " + nn::quoted(said("ivado")));
  std::vector<std::string> differences;
  detail::list_differences(parse_json(said("pipeline"), "reading the description in " + path),
                           parse_json(description.dump(), "reading the description of this pipeline"), "", differences);
  if (!differences.empty()) {
    constexpr std::size_t most = 20;
    std::string list;
    for (std::size_t i = 0; i < std::min(most, differences.size()); ++i) list += (i == 0 ? "" : ", ") + differences[i];
    if (differences.size() > most) list += " and " + std::to_string(differences.size() - most) + " more";
    throw usage_error(doing, "it is of another pipeline: " + list,
                      "resume with the configuration of that training, or train from the beginning");
  }
  const TrainingState state = detail::to_training_state(all, doing);
  const OptimizerState remembered = detail::take_prefixed(all, "optimizer.");
  load_weights(net, nn::Weights{detail::take_prefixed(all, "model."), {}}, path);
  optimizer.restore(remembered);
  return state;
}

}  // namespace ivado
