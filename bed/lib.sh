# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
#
# Sourced by every script here: where things are, how errors look.

bed_dir=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
root=$(dirname "$bed_dir")
build=$root/build
kernels=$build/kernels
kmod_dir=$build/tools/kmod
qemu_dir=$build/qemu

say()
{
	echo "bed: $*" >&2
}

die_status=1

die()
{
	say "$*"
	exit "$die_status"
}
