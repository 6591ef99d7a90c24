/* Segments one image file from C:  segment <packaged model> <image> <folder of predictions> */
#include <ivado/engine/c_api.h>
#include <stdio.h>

int main(int argc, char** argv) {
  ivado_model* model = NULL;
  int status;
  if (argc != 4) {
    fprintf(stderr, "usage: %s MODEL IMAGE FOLDER\n", argv[0]);
    return IVADO_WRONG_USAGE;
  }
  status = ivado_open_model(argv[1], 0, &model);
  if (status == IVADO_OK) {
    const char* const images[] = {argv[2]};
    status = ivado_segment_files(model, images, 1, argv[3], NULL);
  }
  if (status != IVADO_OK) fprintf(stderr, "%s: error: %s\n", argv[0], ivado_last_error());
  ivado_close_model(model);
  return status;
}
