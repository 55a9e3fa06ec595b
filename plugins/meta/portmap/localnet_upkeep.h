// How long route_localnet stays on: as long as an attachment needs it, whoever made it.
#pragma once

#include <string>
#include <vector>

#include "books.h"
#include "holding.h"

namespace cni::portmap {

// What an attachment has to write down that needs it on `interface`.
Localnet plan_localnet(const std::string& interface, Books& books);

// Turns it off where nobody needs it any more.
void settle_localnet(const FamilyPlan& v4, Books& books);
// The same where no books say which interfaces these are.
void settle_guards(Books& books);

}  // namespace cni::portmap
