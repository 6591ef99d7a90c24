// A program with all of ivado.
#include <iostream>
#include <ivado/ivado.hpp>

int main() {
  const at::Tensor ones = at::ones({1, 1, 4, 4});
  const double loss = ivado::DiceLoss{ivado::DiceLoss::Params{}}(ones, ones).item<double>();
  std::cout << "ivado " << ivado::version << ": the Dice loss of a perfect prediction is " << loss << "\n";
  return loss == -1 ? 0 : 1;
}
