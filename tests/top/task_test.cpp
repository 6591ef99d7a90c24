// Sets of tasks.
#include <ivado/task.hpp>

#include "../catch.hpp"

using namespace ivado;

namespace {
struct Silent {};
struct Maps {
  static constexpr TaskSet tasks = Task::segmentation | Task::keypoints;
};
}  // namespace

TEST_CASE("A set of tasks meets another where they have a task in common", "[unit]") {
  static_assert(!TaskSet().meets(all_tasks));
  static_assert(TaskSet(Task::segmentation).meets(Task::segmentation));
  static_assert(!TaskSet(Task::segmentation).meets(Task::classification));
  static_assert(tasks_of<Maps>().meets(Task::keypoints));
  static_assert(!tasks_of<Maps>().meets(Task::classification));
  const Task task = GENERATE(Task::segmentation, Task::classification, Task::keypoints);
  CHECK(all_tasks.meets(task));
  CHECK(TaskSet(task).meets(all_tasks));
  CHECK((TaskSet(task) | TaskSet()).meets(task));
  for (const Task other : {Task::segmentation, Task::classification, Task::keypoints})
    CHECK(TaskSet(task).meets(other) == (task == other));
}

TEST_CASE("What does not say its tasks is good for all", "[unit]") {
  CHECK(tasks_of<Silent>().meets(Task::classification));
  CHECK(tasks_of<Silent>().meets(Task::segmentation));
  CHECK(tasks_of<Silent>().meets(Task::keypoints));
}
