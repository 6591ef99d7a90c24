// The tour: a 2-D U-Net on axial slices, as one type.
//
//   segment_2d -pd DATA -po RESULTS --train      trains on a BIDS folder with labels *_seg-manual.nii.gz
//   segment_2d -pd DATA -po RESULTS --test       predicts the testing set and writes its Dice
//   segment_2d -pd IMAGE.nii.gz -po RESULTS --segment
#include <ivado/ivado.hpp>

// What the experiment is. Each policy is a type; what does not fit together does not compile.
using Experiment = ivado::Pipeline<
    ivado::BidsLoader<ivado::Slices<ivado::Axis::axial>>,         // slices across the feet-head axis
    ivado::Compose<ivado::Resample, ivado::CenterCrop,            // once a slice, then kept
                   ivado::RandomAffine, ivado::ElasticTransform,  // anew in each epoch, training set alone
                   ivado::NormalizeInstance>,                     // mean 0, standard deviation 1
    ivado::Unet<2>,                                               // 2-D, depth 3, 1 channel, 1 class
    ivado::DiceLoss,                                              // minus the soft Dice of the batch
    ivado::PostProcess<ivado::Binarize, ivado::KeepLargest>,      // one object a class
    ivado::StageTimer>;                                           // where the time went

// The numbers of the experiment. The same keys in a file given with -c go over them.
constexpr std::string_view numbers = R"({
  "loader_parameters": {
    "target_suffix": ["_seg-manual"],
    "contrast_params": {"training_validation": ["T1w", "T2w", "T2star"], "testing": ["T1w", "T2w", "T2star"]}
  },
  "training_parameters": {"batch_size": 16, "training_time": {"num_epochs": 10}},
  "default_model": {"n_filters": 16},
  "transformation": {
    "Resample": {"hspace": 0.75, "wspace": 0.75},
    "CenterCrop": {"size": [64, 64]},
    "RandomAffine": {"degrees": 10, "scale": [0.1, 0.1], "translate": [0.05, 0.05]},
    "ElasticTransform": {"alpha_range": [20, 30], "sigma_range": [3.5, 4.5], "p": 0.2}
  },
  "postprocessing": {"binarize_prediction": {"thr": 0.5}, "keep_largest": {}}
})";

int main(int argc, char** argv) { return ivado::main<Experiment>(argc, argv, numbers); }
