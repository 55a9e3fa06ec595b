// How long route_localnet stays on: as long as an attachment needs it, whoever made it.
#pragma once

#include <string>
#include <vector>

#include "books.h"
#include "holding.h"

namespace cni::portmap {

// What an attachment has to write down that needs it on `interface`.
Localnet plan_localnet(const std::string& interface, Books& books);

// Turns it on if the attachment needs it, whose books are committed.
void start_localnet(const Holding& holding, Books& books);

// Turns it off where nobody needs it any more of those whose attachments the plan has. Reads as
// much as there is of these, not of the books.
void settle_localnet(const FamilyPlan& v4, Books& books);
// The same wherever it is on because of us, of which books that somebody flushed know nothing.
void settle_marked_localnet(const FamilyPlan& v4, Books& books);
// That if the books are not there, or were flushed and nobody has written into them since.
void settle_lost_localnet(const FamilyPlan& v4, Books& books);
// The same where there are no books.
void settle_guards(Books& books);

}  // namespace cni::portmap
