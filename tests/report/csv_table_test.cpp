#include <cmath>
#include <ivado/report/csv_table.hpp>
#include <string>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;

TEST_CASE("fields in quotes, empty fields and both line ends are read", "[unit][report]") {
  const auto lines = detail::parse_csv(
      "\xEF\xBB\xBF"
      "a,\"b, \"\"c\"\"\nd\",\r\n\r\n,x,\"\"",
      "file");
  REQUIRE(lines.size() == 2);
  CHECK(lines[0] == std::vector<std::string>{"a", "b, \"c\"\nd", ""});
  CHECK(lines[1] == std::vector<std::string>{"", "x", ""});
  CHECK(detail::parse_csv("", "file").empty());
  CHECK_THROWS_WITH(detail::parse_csv("a,\"b\n", "file"), Contains("file") && Contains("not closed"));
}

TEST_CASE("a table of numbers", "[unit][report]") {
  const NumberTable table = parse_number_table("image_id,dice,hd\nsub-01,0.5,\nsub-02,1e-3,nan\n", "t.csv");
  CHECK(table.key == "image_id");
  CHECK(table.rows == std::vector<std::string>{"sub-01", "sub-02"});
  CHECK(table.column_values(table.column("dice")) == std::vector<double>{0.5, 1e-3});
  CHECK(std::isnan(table.values[0][1]));
  CHECK(std::isnan(table.values[1][1]));
  CHECK(parse_number_table("epoch,best\n1,true\n2,false\n", "t.csv").column_values(0) == std::vector<double>{1, 0});
  CHECK_THROWS_WITH(table.column("rvd"), Contains("rvd") && Contains("t.csv") && Contains("dice, hd"));
}

TEST_CASE("what is no table of numbers is refused, with its place", "[unit][report]") {
  CHECK_THROWS_WITH(parse_number_table("", "t.csv"), Contains("t.csv") && Contains("heading"));
  CHECK_THROWS_WITH(parse_number_table("a\n1\n", "t.csv"), Contains("two columns"));
  CHECK_THROWS_WITH(parse_number_table("a,b\nx,1\ny,1,2\n", "t.csv"), Contains("row 2") && Contains("3 fields"));
  CHECK_THROWS_WITH(parse_number_table("a,b\nx,1.5 mm\n", "t.csv"),
                    Contains("row 1") && Contains("\"1.5 mm\"") && Contains("column b"));
  CHECK_THROWS_WITH(read_number_table("/nonexistent.csv"), Contains("/nonexistent.csv"));
}
