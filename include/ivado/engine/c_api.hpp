// The C interface's functions. Include it in the one source that a library for other languages is made of.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "../error.hpp"
#include "c_api.h"
#include "segment.hpp"

/// Seen from outside of a library whose other symbols are hidden, and there although nothing in C++ calls it.
#define IVADO_C_FUNCTION extern "C" inline __attribute__((visibility("default"), used))

/// What C knows as a handle.
struct ivado_model {
  ivado::Segmenter segmenter;
};

namespace ivado::detail {

/// The message of the last failure of this thread.
[[nodiscard]] inline std::string& last_c_error() {
  thread_local std::string message;
  return message;
}

/// Runs `body`; no exception gets into C.
template <class Body>
[[nodiscard]] int for_c(const Body& body) noexcept {
  try {
    last_c_error().clear();
    body();
    return IVADO_OK;
  } catch (const Error& error) {
    last_c_error() = error.what();
    return error.exit_status();
  } catch (const std::bad_alloc&) {
    last_c_error() = "the memory of this machine is used up";
  } catch (const std::exception& error) {
    last_c_error() = error.what();
  }
  return IVADO_FAILURE;
}

/// @throws Error (usage) if `pointer` is null
inline void require_pointer(const void* pointer, const std::string& doing, const std::string& name) {
  if (pointer == nullptr) throw usage_error(doing, name + " is null", "see c_api.h");
}

}  // namespace ivado::detail

IVADO_C_FUNCTION const char* ivado_last_error(void) { return ivado::detail::last_c_error().c_str(); }

IVADO_C_FUNCTION int ivado_open_model(const char* folder, int threads, ivado_model** model) {
  if (model != nullptr) *model = nullptr;
  return ivado::detail::for_c([&] {
    ivado::detail::require_pointer(folder, "opening a model", "folder");
    ivado::detail::require_pointer(model, "opening a model", "model");
    ivado::EngineOptions options;
    options.threads = threads;
    *model = new ivado_model{ivado::Segmenter(folder, options)};
  });
}

IVADO_C_FUNCTION void ivado_close_model(ivado_model* model) { delete model; }

IVADO_C_FUNCTION int ivado_model_channels(const ivado_model* model) {
  return model == nullptr ? 0 : model->segmenter.shape().in_channels;
}
IVADO_C_FUNCTION int ivado_model_classes(const ivado_model* model) {
  return model == nullptr ? 0 : model->segmenter.shape().classes;
}

IVADO_C_FUNCTION int ivado_segment_files(ivado_model* model, const char* const* images, size_t count,
                                         const char* folder, const char* suffix) {
  return ivado::detail::for_c([&] {
    const std::string doing = "segmenting files";
    ivado::detail::require_pointer(model, doing, "model");
    ivado::detail::require_pointer(images, doing, "images");
    ivado::detail::require_pointer(folder, doing, "folder");
    if (count == 0) throw ivado::usage_error(doing, "no image is given", "give one or more");
    std::vector<std::string> paths;
    for (size_t i = 0; i < count; ++i) {
      ivado::detail::require_pointer(images[i], doing, "image " + std::to_string(i));
      paths.emplace_back(images[i]);
    }
    (void)model->segmenter.segment(paths, folder, suffix == nullptr ? "_pred" : suffix);
  });
}

IVADO_C_FUNCTION int ivado_predict(ivado_model* model, const float* image, const int64_t* shape, int rank,
                                   const float* condition, float* output, size_t output_size) {
  return ivado::detail::for_c([&] {
    const std::string doing = "predicting a batch";
    ivado::detail::require_pointer(model, doing, "model");
    ivado::detail::require_pointer(image, doing, "image");
    ivado::detail::require_pointer(shape, doing, "shape");
    ivado::detail::require_pointer(output, doing, "output");
    if (rank != 4 && rank != 5)
      throw ivado::usage_error(doing, "the image has " + std::to_string(rank) + " axes", "give 4 or 5");
    ivado::Shape extents;
    for (int axis = 0; axis < rank; ++axis) extents.push_back(shape[axis]);
    ivado::Array<float> input(extents);
    std::copy_n(image, input.size(), input.data());
    ivado::Array<float> code;
    if (condition != nullptr) {
      code = ivado::Array<float>({extents[0], model->segmenter.conditions()});
      std::copy_n(condition, code.size(), code.data());
    }
    const ivado::Array<float> result = model->segmenter.network().forward(input, code);
    if (static_cast<size_t>(result.size()) != output_size)
      throw ivado::usage_error(doing, "there is room for " + std::to_string(output_size) + " numbers",
                               "the prediction is " + result.shape().text());
    std::copy_n(result.data(), result.size(), output);
  });
}
