# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Packages of other suites than this system's, with apt's own means: package lists of their own under
# build/apt, checked with Debian's keys. Nothing of this system's apt is changed.

# Sets apt_options, for apt-get and apt-cache.
use_suite() # SUITE, or "" for this system's
{
	local dir=$build/apt/$1
	apt_options=(-o APT::Sandbox::User= -o DPkg::Lock::Timeout=120)
	[ -n "$1" ] || return 0
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $1 main" \
		>"$dir/sources.list"
	apt_options+=(-o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=-
		-o "Dir::State::lists=$dir/lists" -o "Dir::Cache=$dir/cache")
	[ -n "$(find "$dir/lists" -name '*_Packages*')" ] || apt-get -qq "${apt_options[@]}" update >&2
}

suite_of() # FLAVOUR
{
	awk -v want="$1" '!/^#/ && $1 == want { print $3 }' "$bed_dir/kernels.txt"
}

download() # DIR PACKAGE[=VERSION]
{
	say "downloading $2"
	(cd "$1" && apt-get -qq "${apt_options[@]}" download "$2" >&2)
}

# What a package depends on, of the names that fit PATTERN (no groups), with versions: "NAME[=VERSION]" a line.
dependencies() # DEB PATTERN
{
	dpkg-deb --field "$1" Depends | tr ',' '\n' |
		sed -nE "s/^ *($2)( \\(= ([^)]*)\\))?.*/\\1=\\3/p" | sed 's/=$//'
}
