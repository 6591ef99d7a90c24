// For tests: pickles made operation by operation, and the files of torch.save around them.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <ivado/interop/zip.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../data/nifti_bytes.hpp"

namespace test {

/// The bytes of numbers.
template <class Number>
std::string bytes_of(const std::vector<Number>& numbers) {
  std::string out(numbers.size() * sizeof(Number), '\0');
  if (!out.empty()) std::memcpy(out.data(), numbers.data(), out.size());
  return out;
}

/// A pickle of protocol 2. `legacy` says how storages and classes of modules are named.
class Pickler {
 public:
  explicit Pickler(bool legacy = false) : legacy_(legacy) {}

  Pickler& op(std::string_view codes) {
    bytes_ += codes;
    return *this;
  }
  Pickler& text(std::string_view letters) {
    op("X").append(static_cast<std::uint32_t>(letters.size()));
    return op(letters);
  }
  Pickler& integer(std::int64_t number) {
    op(std::string_view("\x8A\x08", 2)).append(number);
    return *this;
  }
  Pickler& global(std::string_view module, std::string_view name) {
    return op("c").op(module).op("\n").op(name).op("\n");
  }
  Pickler& ordered_dict() { return global("collections", "OrderedDict").op(")R"); }
  Pickler& integers(const std::vector<std::int64_t>& numbers) {
    op("(");
    for (const auto number : numbers) integer(number);
    return op("t");
  }
  Pickler& storage(std::string_view type, std::string_view key, std::int64_t count) {
    op("(").text("storage").global("torch", type).text(key).text("cpu").integer(count);
    return op(legacy_ ? "NtQ" : "tQ");
  }
  Pickler& tensor(std::string_view type, std::string_view key, std::int64_t count, std::int64_t offset,
                  const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& strides) {
    global("torch._utils", "_rebuild_tensor_v2").op("(").storage(type, key, count).integer(offset);
    return integers(shape).integers(strides).op("\x89").ordered_dict().op("tR");
  }
  /// A dense tensor that is all of its storage.
  Pickler& vector(std::string_view type, std::string_view key, std::int64_t count) {
    return tensor(type, key, count, 0, {count}, {1});
  }
  Pickler& parameter(std::string_view type, std::string_view key, std::int64_t count) {
    global("torch._utils", "_rebuild_parameter").op("(").vector(type, key, count);
    return op("\x88").ordered_dict().op("tR");
  }
  /// An object whose attributes follow, up to `end_object()`.
  Pickler& begin_object(std::string_view module, std::string_view name) {
    if (legacy_)
      op("(").text("module").global(module, name).text("/models.py").text("class Source: pass").op("tQ");
    else
      global(module, name);
    return op(")\x81}(");
  }
  Pickler& end_object() { return op("ub"); }
  /// The attribute of a module that is an OrderedDict, whose items follow, up to `end_items()`.
  Pickler& begin_items(std::string_view attribute) { return text(attribute).ordered_dict().op("("); }
  Pickler& end_items() { return op("u"); }

  /// The whole pickle.
  [[nodiscard]] std::string done() const { return std::string("\x80\x02") + bytes_ + "."; }

 private:
  template <class Number>
  void append(Number number) {
    bytes_.append(reinterpret_cast<const char*>(&number), sizeof(Number));
  }

  bool legacy_;
  std::string bytes_;
};

/// Storages by key: the number of elements and the bytes.
struct StorageBytes {
  std::string key;
  std::int64_t count;
  std::string bytes;
};

/// The zip format.
inline std::string zip_file(const std::string& pickle, const std::vector<StorageBytes>& storages,
                            const std::string& folder = "archive") {
  ivado::ZipWriter zip;
  zip.add(folder + "/data.pkl", pickle);
  zip.add(folder + "/byteorder", "little");
  for (const auto& storage : storages) zip.add(folder + "/data/" + storage.key, storage.bytes);
  zip.add(folder + "/version", "3\n");
  return std::move(zip).finish();
}

/// The format before PyTorch 1.6.
inline std::string legacy_file(const std::string& pickle, const std::vector<StorageBytes>& storages) {
  std::string out("\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19.", 15);
  out += Pickler().integer(1001).done();
  out += Pickler().op("}(").text("protocol_version").integer(1001).text("little_endian").op("\x88u").done();
  out += pickle;
  Pickler keys;
  keys.op("](");
  for (const auto& storage : storages) keys.text(storage.key);
  out += keys.op("e").done();
  for (const auto& storage : storages) out += bytes_of(std::vector<std::int64_t>{storage.count}) + storage.bytes;
  return out;
}

/// A model of ivadomed in small: a convolution without bias, a batch norm, and attributes of many kinds. Its tensors
/// are "encoder.conv.weight" (6 numbers of storage 0, from 0.5 on), "encoder.norm.running_mean" (the first 3 of
/// storage 1), "encoder.norm.num_batches_tracked" (storage 2).
inline std::string model_pickle(bool legacy) {
  Pickler p(legacy);
  const auto no_items = [&](std::string_view name) { p.text(name).ordered_dict(); };
  p.begin_object("ivadomed.models", "Unet");
  p.text("training").op("\x88").text("depth").integer(3).text("rate").op(std::string_view("G\x3F\xB0\0\0\0\0\0\0", 9));
  no_items("_parameters");
  no_items("_buffers");
  p.begin_items("_modules").text("encoder").begin_object("ivadomed.models", "Encoder");
  no_items("_parameters");
  no_items("_buffers");
  p.begin_items("_modules");
  p.text("conv").begin_object("torch.nn.modules.conv", "Conv2d");
  p.begin_items("_parameters").text("weight").parameter("FloatStorage", "0", 6).text("bias").op("N").end_items();
  no_items("_buffers");
  no_items("_modules");
  p.end_object().text("dropout").op("N");
  p.text("norm").begin_object("torch.nn.modules.batchnorm", "BatchNorm2d");
  no_items("_parameters");
  p.begin_items("_buffers").text("running_mean").tensor("FloatStorage", "1", 4, 0, {3}, {1});
  p.text("passing").vector("FloatStorage", "1", 4);
  p.text("num_batches_tracked").tensor("LongStorage", "2", 1, 0, {}, {}).end_items();
  p.text("_non_persistent_buffers_set").global("__builtin__", "set").op("(](").text("passing").op("etR");
  no_items("_modules");
  p.end_object().end_items().end_object().end_items().end_object();
  return p.done();
}

/// The storages of `model_pickle`.
inline std::vector<StorageBytes> model_storages() {
  return {{"0", 6, bytes_of<float>({0.5F, 1.5F, 2.5F, 3.5F, 4.5F, 5.5F})},
          {"1", 4, bytes_of<float>({-1, -2, -3, -4})},
          {"2", 1, bytes_of<std::int64_t>({77})}};
}

}  // namespace test
