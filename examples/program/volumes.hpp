// The general program for models of volumes, in a source of its own.
#pragma once

/// What `ivado::main` is for slices, with the models of volumes: Modified3DUNet, and others where `is_2d` is false.
int run_on_volumes(int argc, char** argv);
