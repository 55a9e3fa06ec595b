// SIGTERM and SIGINT, by which a runtime gives up on a plugin: asked for once, this process ends
// what it waits for and takes no further step of an ADD, so that it can go back and say so.
#pragma once

#include "base/error.h"

namespace cni {

class Interrupted : public Busy {
 public:
  using Busy::Busy;
};

namespace interruption {

// From now on the two signals ask; before, they end this process. Children are not affected:
// exec(2) puts their signals back.
void listen();

// Whether one has come, and nobody holds a Shield.
bool requested();

// Throws Interrupted, which names the signal, if requested().
void check();

// For poll(2): readable as soon as requested(). -1 before listen() and under a Shield.
int fd();

// While there is one nothing is interrupted: what cleans up goes to its end.
class Shield {
 public:
  Shield();
  Shield(const Shield&) = delete;
  Shield& operator=(const Shield&) = delete;
  ~Shield();
};

}  // namespace interruption
}  // namespace cni
