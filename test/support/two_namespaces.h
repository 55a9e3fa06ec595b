// Network namespaces for one test case: a private host and its containers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace cni::test {

// Calls `function` on a thread inside the network namespace at `netns` (empty: the one of the
// calling thread); its exception comes back.
void in_namespace(const std::string& netns, const std::function<void()>& function);

// A network namespace that is bound to a file below /run/netns, as runtimes do it. Needs the
// private /run of enter_private_namespaces(). The file and, unless something else holds it, the
// namespace are gone at the end.
class Namespace {
 public:
  enum class Loopback { kDown, kUp };

  // `name` is a hint: a number follows it, so that names do not collide.
  explicit Namespace(const std::string& name, Loopback loopback = Loopback::kDown);
  Namespace(const Namespace&) = delete;
  Namespace& operator=(const Namespace&) = delete;
  ~Namespace() { remove(); }

  const std::string& path() const { return path_; }

  // Deletes the file now, like a runtime that has lost its container. Safe to repeat.
  void remove();

  void in(const std::function<void()>& function) const { in_namespace(path_, function); }

  // Runs a command of iproute2 and its like, given as words between blanks, and returns its
  // stdout. A failure is an exception.
  std::string run(const std::string& command) const;

  // Whether a link of that name is there.
  bool has_link(const std::string& name) const;

 private:
  std::string path_;
};

// Puts the calling thread into a network namespace while it lives.
class Inside {
 public:
  explicit Inside(const Namespace& target);
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  ~Inside();

 private:
  int home_;
};

// The host of a test case, with the loopback interface up. A container starts as runtimes make
// it: nothing but a loopback interface that is down.
class Host : public Namespace {
 public:
  Host() : Namespace("host", Loopback::kUp) {}

  // The container lives as long as the host or until its own remove().
  Namespace& add_container(const std::string& name = "container");

 private:
  std::vector<std::unique_ptr<Namespace>> containers_;
};

}  // namespace cni::test
