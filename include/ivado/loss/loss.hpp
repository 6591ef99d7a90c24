// All losses.
#pragma once

#include "any_loss.hpp"
#include "concept.hpp"
#include "dice_loss.hpp"
