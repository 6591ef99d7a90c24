// A Params field of a type that has no JSON form.
// expect: ivado: a type in Params must be a number, text, bool, list, optional, a named enum, or a struct with `static
// constexpr auto fields()`
#include <ivado/config/params.hpp>

struct Opaque {};

struct Params {
  Opaque opaque;
  static constexpr auto fields() { return ivado::fields(ivado::field<"opaque", &Params::opaque>("no JSON form")); }
};

int main() { (void)ivado::from_json<Params>(ivado::Json::object(), "params"); }
