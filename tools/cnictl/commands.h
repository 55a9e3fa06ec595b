// The commands of cnictl, each with its help. cnictl.cpp has the table.
#pragma once

#include "options.h"

namespace cni::cnictl {

Subcommand add_command();
Subcommand check_command();
Subcommand del_command();
Subcommand status_command();
Subcommand gc_command();
Subcommand version_command();
Subcommand lint_command();

}  // namespace cni::cnictl
