// Every function of fmt that is no template, and those templates whose code its headers promise to
// be elsewhere (the end of fmt/format.h).
#include <fmt/format-inl.h>

template fmt::detail::thousands_sep_result<char> fmt::detail::thousands_sep_impl<char>(
    fmt::detail::locale_ref);
template char fmt::detail::decimal_point_impl<char>(fmt::detail::locale_ref);
