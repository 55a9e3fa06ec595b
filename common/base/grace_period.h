// What the kernel still does after it has removed something: before it frees an interface or rules
// it waits until no processor can be using them (an RCU grace period,
// Documentation/RCU/whatisRCU.rst), for 10 to 30 ms, and lets wait whoever asked, or closes a
// socket of netfilter meanwhile. Nothing is to be seen of what was removed by then. So this process
// leaves that wait to a child of its own and ends before it.
//
// Such a child has no descriptors but those it needs, stdin, stdout and stderr neither; it ends as
// soon as the kernel is done, and process 1 (or a PR_SET_CHILD_SUBREAPER) takes it away then. No
// more than 64 of them live on a host at once. Where the last one was never taken away, as in
// containers whose process 1 does not care, no more are made. What they know of each other stands
// in /run/cni/plumb/grace-period.lock.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>

namespace cni::grace_period {

// From now on this process may leave something to children; before, all of this does nothing. For
// programs that end soon, as nobody takes the children away before that.
void allow();

// Runs `work` in a child, which keeps the descriptor `needed`, and what was left by close_later().
// Nothing if there is no child: not allowed, too many, nobody to take them away.
std::optional<pid_t> leave(int needed, const std::function<void()>& work);

// This process has removed rules: for a while nf_tables lets everybody wait who closes a socket of
// netfilter (nft_rcv_nl_event() in net/netfilter/nf_tables_api.c), and others with them.
void rules_were_removed();

// To be called before such a socket is closed: a duplicate stays open until finish().
void close_later(int netfilter_socket);

// At the end. If rules were removed, or others wait for something at this moment, a child closes
// what close_later() has kept.
void finish();

}  // namespace cni::grace_period
