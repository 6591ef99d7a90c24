// A small data set for the tests of whole programs, and room for their results.
#pragma once

#include <ivado/data/phantom.hpp>
#include <string>
#include <utility>
#include <vector>

#include "../scratch.hpp"

/// Four subjects of the phantom in a folder of their own.
class World {
 public:
  explicit World(std::vector<std::string> contrasts) {
    ivado::PhantomParams params;
    params.subjects = 4;
    params.contrasts = std::move(contrasts);
    ivado::write_phantom(data(), params);
  }
  [[nodiscard]] std::string data() const { return folder_ / "data"; }
  [[nodiscard]] std::string results(const std::string& name) const { return folder_ / name; }

 private:
  Scratch folder_;
};
