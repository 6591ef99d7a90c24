// A pipeline on 3-D sub-volumes that overlap, from the folder to masks on the grids of the images.
#include <filesystem>
#include <ivado/ivado.hpp>

#include "../catch.hpp"
#include "world.hpp"

using namespace ivado;

namespace {

using Volumes = Pipeline<BidsLoader<AnySubvolumes>, Compose<Resample, CenterCrop, NormalizeInstance>, Modified3DUNet<>,
                         DiceLoss, PostProcess<Binarize>, Loggers<QuietLogger, LogFiles>>;

constexpr std::string_view numbers = R"({
  "loader_parameters": {
    "target_suffix": ["_seg-manual"],
    "contrast_params": {"training_validation": ["T2w"], "testing": ["T2w"]},
    "patch_filter_params": {"filter_empty_mask": true},
    "workers": 1
  },
  "split_dataset": {"train_fraction": 0.5, "test_fraction": 0.25},
  "training_parameters": {"batch_size": 2, "training_time": {"num_epochs": 2}, "scheduler": {"initial_lr": 0.01}},
  "Modified3DUNet": {
    "applied": true, "n_filters": 4, "length_3D": [32, 32, 32], "stride_3D": [16, 24, 32], "overlap_weights": "gaussian",
    "mirror_axes": [0]
  },
  "transformation": {
    "Resample": {"hspace": 2, "wspace": 2, "dspace": 2}, "CenterCrop": {"size": [40, 40, 32]}, "NormalizeInstance": {}
  },
  "postprocessing": {"binarize_prediction": {"thr": 0.5}}
})";

const World& world() {
  static const World one({"T2w"});
  return one;
}

Volumes make(int workers) {
  std::vector<std::string> warnings;
  auto params = Volumes::configure(Volumes::defaults(), Json::parse(numbers), warnings);
  CHECK(warnings.empty());
  params.loader_parameters.path_data.values = {world().data()};
  params.loader_parameters.workers = workers;
  params.path_output = world().results("volumes" + std::to_string(workers));
  RuntimeOptions options;
  options.threads = 1;
  return Volumes(std::move(params), start_runtime(options));
}

}  // namespace

TEST_CASE("A model of volumes trains on sub-volumes and predicts whole images", "[train]") {
  const FitSummary fitted = make(0).train();
  CHECK(fitted.epochs.size() == 2);
  const TestSummary tested = make(0).test();
  REQUIRE(tested.rows.size() == 1);
  const std::string id = tested.rows[0].image_id;
  const Volume image = read_volume(world().data() + "/" + id.substr(0, id.find('_')) + "/anat/" + id + ".nii.gz");
  const Volume prediction = read_volume(tested.predictions + "/" + id + "_pred.nii.gz");
  CHECK(prediction.geometry.shape == image.geometry.shape);
  CHECK((prediction.geometry.affine - image.geometry.affine).cwiseAbs().maxCoeff() < 1e-4);

  (void)make(2).train();
  CHECK((content_of(world().results("volumes0") + "/final_model.safetensors") ==
         content_of(world().results("volumes2") + "/final_model.safetensors")));
}
