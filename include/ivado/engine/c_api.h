/* ivado's engine for C, and for any language that calls C: a packaged model opened once, image files segmented with it,
 * or batches in memory predicted. No LibTorch behind it. examples/engine_library makes the library of it. */
#ifndef IVADO_ENGINE_C_API_H
#define IVADO_ENGINE_C_API_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a call came to; the same numbers as the exit status of the programs. */
enum ivado_status {
  IVADO_OK = 0,
  IVADO_WRONG_USAGE = 2,   /* arguments, or the configuration of the model */
  IVADO_UNUSABLE_DATA = 3, /* a file that cannot be used */
  IVADO_FAILURE = 4        /* anything else */
};

/* A model. One thread at a time may use it; several models may be used by several threads. */
typedef struct ivado_model ivado_model;

/* The message of the last call of this thread that failed; "" if none did. Valid until the next call. */
const char* ivado_last_error(void);

/* Opens the packaged model in a folder: <folder>/<name>.json and <name>.safetensors, the name being that of the folder.
 * threads: for computing; 0 for one a core. *model is null where it fails. */
int ivado_open_model(const char* folder, int threads, ivado_model** model);

/* Closes a model; null is allowed. */
void ivado_close_model(ivado_model* model);

/* Channels that the model takes, and classes that it predicts. */
int ivado_model_channels(const ivado_model* model);
int ivado_model_classes(const ivado_model* model);

/* Segments image files and writes the predictions to a folder, under the name of the image with `suffix` (null: "_pred")
 * before its ending; with several classes "_class-<k>" stands before the suffix.
 * images: a multiple of the model's channels; those of one subject together, in the order of the model. */
int ivado_segment_files(ivado_model* model, const char* const* images, size_t count, const char* folder,
                        const char* suffix);

/* Predicts a batch in memory as the network sees it, without any transform.
 * image:     [samples, channels, height, width] or [samples, channels, height, width, depth], row-major
 * shape:     its `rank` (4 or 5) extents
 * condition: [samples, conditions] of a model that takes one, else null
 * output:    room for `output_size` numbers: [samples, classes, spatial...], row-major */
int ivado_predict(ivado_model* model, const float* image, const int64_t* shape, int rank, const float* condition,
                  float* output, size_t output_size);

#ifdef __cplusplus
}
#endif

#endif /* IVADO_ENGINE_C_API_H */
