// ONNX weights in: the initialisers of an ONNX file, and how they are brought to the tensors of a network. Needs the
// protobuf classes of libonnx (component onnx), no LibTorch.
#pragma once

#ifndef ONNX_NAMESPACE
#define ONNX_NAMESPACE onnx
#endif
#ifndef ONNX_ML
#define ONNX_ML 1
#endif
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "../nn/parameter.hpp"
#include "../nn/weights.hpp"

namespace ivado {

static_assert(std::endian::native == std::endian::little,
              "ivado: the raw numbers of ONNX are little-endian, and so must the machine be");

/// Reads the initialisers of an ONNX file in their order: FLOAT, DOUBLE and FLOAT16 as float32, INT64 as it is. The
/// metadata of the file are those of the weights. Behind them stand, once more, those that an Identity node gives
/// another name: PyTorch's exporter writes equal tensors once. Other nodes are not looked at.
///
/// Every size is checked against the numbers that are there before anything is allocated.
/// @throws Error (data) if the file is missing or malformed or larger than 2 GB, if an initialiser has another element
///         type, keeps its numbers in another file or is sparse, or if none is there
[[nodiscard]] inline nn::Weights read_onnx_weights(const std::string& path);

/// The tensors of a network, all by their names in its list, out of those of a file.
///
/// By name where all are there; then tensors that are not the network's must be constants, not parameters of layers.
/// Else by order: as many float tensors of shapes that the network has, one by one of the network's shapes, and no name
/// that says otherwise. A tensor with several names may be there under any of them. Counters that are missing are 0.
/// @param source  names the file in messages
/// @throws Error (data) with the names and shapes that did not match
[[nodiscard]] inline nn::Weights match_weights(const nn::ParameterList& list, const nn::Weights& found,
                                               const std::string& source);

namespace detail {

/// A number of IEEE 754 half precision as float32, exactly.
[[nodiscard]] inline float from_half(std::uint16_t half) noexcept {
  const int exponent = (half >> 10) & 31;
  const int fraction = half & 1023;
  float value = 0;
  if (exponent == 31)
    value = fraction == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  else if (exponent == 0)
    value = std::ldexp(static_cast<float>(fraction), -24);
  else
    value = std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return (half & 0x8000) == 0 ? value : -value;
}

/// One initialiser on its way to a `WeightTensor`.
class OnnxTensor {
 public:
  OnnxTensor(const onnx::TensorProto& tensor, std::string doing) : tensor_(tensor), doing_(std::move(doing)) {}

  [[nodiscard]] nn::WeightTensor read() {
    if (tensor_.data_location() == onnx::TensorProto_DataLocation_EXTERNAL)
      throw refuse("keeps its numbers in another file", "store them within the model");
    if (tensor_.has_segment()) throw refuse("is one segment of a tensor", "store it as a whole");
    out_.name = tensor_.name();
    count_ = 1;
    for (const auto extent : tensor_.dims()) {
      const auto n = static_cast<std::uint64_t>(extent);
      if (extent < 0 || (n > 0 && count_ > std::numeric_limits<std::uint64_t>::max() / 8 / n))
        throw refuse("has an impossible shape", whole);
      count_ *= n;
      out_.shape.push_back(extent);
    }
    switch (tensor_.data_type()) {
      case onnx::TensorProto_DataType_FLOAT:
        numbers<float>(tensor_.float_data(), [](float value) { return value; });
        break;
      case onnx::TensorProto_DataType_DOUBLE:
        numbers<double>(tensor_.double_data(), [this](double value) {
          if (std::isfinite(value) && std::abs(value) > static_cast<double>(std::numeric_limits<float>::max()))
            throw refuse("has a value beyond float32", "store values that float32 can hold");
          return static_cast<float>(value);
        });
        break;
      case onnx::TensorProto_DataType_FLOAT16:
        numbers<std::uint16_t>(tensor_.int32_data(), from_half);
        break;
      case onnx::TensorProto_DataType_INT64:
        out_.type = nn::ElementType::int64;
        numbers<std::int64_t>(tensor_.int64_data(), [](std::int64_t value) { return value; });
        break;
      default: {
        const auto type = static_cast<onnx::TensorProto_DataType>(tensor_.data_type());
        throw refuse("has the element type " + (onnx::TensorProto_DataType_IsValid(tensor_.data_type())
                                                    ? onnx::TensorProto_DataType_Name(type)
                                                    : std::to_string(tensor_.data_type())),
                     "store FLOAT, DOUBLE, FLOAT16 or INT64");
      }
    }
    return std::move(out_);
  }

 private:
  static constexpr const char* whole = "give an ONNX file that is whole";

  [[nodiscard]] Error refuse(const std::string& what, const std::string& remedy) const {
    return data_error(doing_, "initialiser \"" + tensor_.name() + "\" " + what, remedy);
  }
  /// Takes the numbers, raw or from their list, and converts each.
  template <class Stored, class List, class Convert>
  void numbers(const List& list, const Convert& convert) {
    const std::string& raw = tensor_.raw_data();
    const bool is_raw = tensor_.has_raw_data();
    const std::uint64_t there = is_raw ? raw.size() : static_cast<std::uint64_t>(list.size());
    if (there != count_ * (is_raw ? sizeof(Stored) : 1))
      throw refuse("has " + std::to_string(there) + (is_raw ? " bytes" : " numbers") + ", its shape needs " +
                       std::to_string(count_ * (is_raw ? sizeof(Stored) : 1)),
                   whole);
    using Kept = decltype(convert(Stored{}));
    out_.bytes.resize(count_ * sizeof(Kept));
    for (std::size_t i = 0; i < count_; ++i) {
      Stored stored{};
      if (is_raw)
        std::memcpy(&stored, raw.data() + i * sizeof(Stored), sizeof(Stored));
      else
        stored = static_cast<Stored>(list[static_cast<int>(i)]);
      const Kept kept = convert(stored);
      std::memcpy(out_.bytes.data() + i * sizeof(Kept), &kept, sizeof(Kept));
    }
  }

  const onnx::TensorProto& tensor_;
  std::string doing_;
  nn::WeightTensor out_;
  std::uint64_t count_ = 1;
};

/// Brings the tensors of a file to those of a network.
class WeightMatch {
 public:
  WeightMatch(const nn::ParameterList& list, const nn::Weights& found, const std::string& source)
      : list_(list), found_(found), doing_("loading the weights " + source), sources_(list.size(), nullptr) {}

  [[nodiscard]] nn::Weights match() {
    if (!by_name()) by_order();
    nn::Weights out;
    out.metadata = found_.metadata;
    for (std::size_t i = 0; i < list_.size(); ++i) {
      const auto& spec = list_[static_cast<nn::ParameterId>(i)];
      if (const auto* source = sources_[static_cast<std::size_t>(first_name(i))]; source != nullptr)
        out.tensors.push_back({spec.name, source->type, source->shape, source->bytes});
      else
        out.tensors.push_back({spec.name, nn::ElementType::int64, {}, std::vector<std::byte>(8)});
    }
    return out;
  }

 private:
  static constexpr std::size_t most_listed = 12;

  [[nodiscard]] nn::ParameterId first_name(std::size_t i) const {
    auto id = static_cast<nn::ParameterId>(i);
    while (list_[id].shared_with != nn::no_parameter) id = list_[id].shared_with;
    return id;
  }
  [[nodiscard]] static std::string text(const std::vector<std::int64_t>& shape) {
    std::string out;
    for (const auto extent : shape) out += (out.empty() ? "" : "x") + std::to_string(extent);
    return out.empty() ? "scalar" : out;
  }
  [[nodiscard]] static std::string text(const Shape& shape) {
    return text(std::vector<std::int64_t>(shape.begin(), shape.end()));
  }
  [[nodiscard]] static bool fits(const nn::ParameterSpec& spec, const nn::WeightTensor& tensor) {
    const auto type = spec.role == nn::Role::counter ? nn::ElementType::int64 : nn::ElementType::float32;
    return tensor.type == type &&
           std::equal(tensor.shape.begin(), tensor.shape.end(), spec.shape.begin(), spec.shape.end());
  }
  [[nodiscard]] static std::string listed(const std::vector<std::string>& items) {
    std::string out;
    for (std::size_t i = 0; i < std::min(items.size(), most_listed); ++i) out += (i == 0 ? "" : ", ") + items[i];
    return items.size() > most_listed ? out + " and " + std::to_string(items.size() - most_listed) + " more" : out;
  }
  /// True if a name ends as that of a layer's parameter does; the constants of a model have other names.
  [[nodiscard]] static bool names_a_parameter(std::string_view name) {
    static constexpr std::array<std::string_view, 4> ends{".weight", ".bias", ".running_mean", ".running_var"};
    return std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return name.ends_with(end); });
  }

  /// False if some tensor is there under none of its names.
  /// @throws Error (data) if all are there and do not fit
  [[nodiscard]] bool by_name() {
    std::set<std::string_view> known;
    for (std::size_t i = 0; i < list_.size(); ++i) {
      const auto& spec = list_[static_cast<nn::ParameterId>(i)];
      known.insert(spec.name);
      auto& source = sources_[static_cast<std::size_t>(first_name(i))];
      if (source == nullptr) source = found_.find(spec.name);
    }
    std::vector<std::string> faults;
    for (std::size_t i = 0; i < list_.size(); ++i) {
      const auto& spec = list_[static_cast<nn::ParameterId>(i)];
      if (spec.shared_with != nn::no_parameter) continue;
      if (sources_[i] == nullptr) {
        if (spec.role != nn::Role::counter) missing_.push_back(spec.name + " " + text(spec.shape));
      } else if (!fits(spec, *sources_[i])) {
        faults.push_back(spec.name + " is " + text(sources_[i]->shape) + ", the network's " + text(spec.shape));
      }
    }
    if (!missing_.empty()) return false;
    for (const auto& tensor : found_.tensors)
      if (!known.contains(tensor.name) && names_a_parameter(tensor.name))
        faults.push_back(tensor.name + " " + text(tensor.shape) + " is not the network's");
    if (!faults.empty()) throw data_error(doing_, listed(faults), "use the configuration that they were trained with");
    return true;
  }
  /// @throws Error (data) unless the tensors are there in order
  void by_order() {
    std::vector<std::size_t> wanted;
    std::set<std::string_view> names;
    for (std::size_t i = 0; i < list_.size(); ++i) {
      const auto& spec = list_[static_cast<nn::ParameterId>(i)];
      names.insert(spec.name);
      if (spec.role == nn::Role::counter) continue;
      if (spec.shared_with == nn::no_parameter) wanted.push_back(i);
    }
    const auto spec_at = [&](std::size_t i) -> const nn::ParameterSpec& {
      return list_[static_cast<nn::ParameterId>(wanted[i])];
    };
    std::vector<const nn::WeightTensor*> given;
    for (const auto& tensor : found_.tensors)
      for (std::size_t i = 0; i < wanted.size(); ++i)
        if (fits(spec_at(i), tensor)) {
          given.push_back(&tensor);
          break;
        }
    if (given.size() != wanted.size())
      throw no_match(std::to_string(given.size()) + " of its tensors have a shape of the network's " +
                     std::to_string(wanted.size()));
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const auto& spec = spec_at(i);
      const bool is_another = given[i]->name != spec.name && names.contains(given[i]->name);
      if (!fits(spec, *given[i]) || is_another)
        throw no_match("in order, " + given[i]->name + " " + text(given[i]->shape) + " stands where the network has " +
                       spec.name + " " + text(spec.shape));
      sources_[wanted[i]] = given[i];
    }
  }
  [[nodiscard]] Error no_match(const std::string& in_order) const {
    std::vector<std::string> unknown;
    for (const auto& tensor : found_.tensors) {
      const bool used =
          std::any_of(list_.begin(), list_.end(), [&](const auto& spec) { return spec.name == tensor.name; });
      if (!used) unknown.push_back(tensor.name + " " + text(tensor.shape));
    }
    return data_error(
        doing_,
        "the network's tensors are there neither by name (missing: " + listed(missing_) + "; not the network's: " +
            (unknown.empty() ? "none" : listed(unknown)) + ") nor by order (" + in_order + ")",
        "use the configuration that they were trained with; PyTorch's exporter folds batch norms into convolutions and "
        "renames what it folded, so export with training=TrainingMode.PRESERVE and do_constant_folding=False, or load "
        "the state dictionary instead");
  }

  const nn::ParameterList& list_;
  const nn::Weights& found_;
  std::string doing_;
  std::vector<const nn::WeightTensor*> sources_;  // of each first name
  std::vector<std::string> missing_;              // by name
};

}  // namespace detail

inline nn::Weights read_onnx_weights(const std::string& path) {
  const std::string doing = "reading the weights " + path;
  const auto refuse = [&](const std::string& found) {
    return data_error(doing, found, "give an ONNX file that is whole");
  };
  std::error_code fault;
  const auto size = std::filesystem::file_size(path, fault);
  if (fault) throw refuse(fault.message());
  if (size > static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max()))
    throw refuse("it has " + std::to_string(size) + " bytes, an ONNX file at most 2 GB");
  onnx::ModelProto model;
  std::ifstream file(path, std::ios::binary);
  if (!file || !model.ParseFromIstream(&file)) throw refuse("it is not an ONNX model");
  if (model.graph().sparse_initializer_size() > 0)
    throw data_error(doing, "it has sparse initialisers", "store them densely");
  if (model.graph().initializer_size() == 0) throw refuse("it has no initialisers");
  nn::Weights out;
  for (const auto& entry : model.metadata_props()) out.metadata[entry.key()] = entry.value();
  std::set<std::string> names;
  for (const auto& tensor : model.graph().initializer()) {
    if (!names.insert(tensor.name()).second) throw refuse("two initialisers are named \"" + tensor.name() + "\"");
    out.tensors.push_back(detail::OnnxTensor(tensor, doing).read());
  }
  std::uint64_t repeated = 0;
  for (const auto& node : model.graph().node()) {
    if (node.op_type() != "Identity" || node.input_size() != 1 || node.output_size() != 1) continue;
    const auto* original = out.find(node.input(0));
    if (original == nullptr || !names.insert(node.output(0)).second) continue;
    repeated += original->bytes.size();
    if (repeated > static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max()))
      throw refuse("its Identity nodes repeat more than 2 GB of initialisers");
    nn::WeightTensor copy = *original;
    copy.name = node.output(0);
    out.tensors.push_back(std::move(copy));
  }
  return out;
}

inline nn::Weights match_weights(const nn::ParameterList& list, const nn::Weights& found, const std::string& source) {
  return detail::WeightMatch(list, found, source).match();
}

}  // namespace ivado
