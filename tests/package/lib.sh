# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What tests/package/run is made of: verdicts, and clean Debian roots.

suite=${SUITE:-bookworm}
cache=$PWD/build/package
version=$(sed -n 's/^VERSION := //p' Makefile)

begin() {
	if [ "$(id -u)" -ne 0 ]; then
		echo "ok - package: all # SKIP needs root, to install packages in a root directory"
		exit
	fi
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/work.XXXXXX")
	trap 'rm -rf --one-file-system "$work"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# ---- verdicts ----------------------------------------------------------------

verdict() { # text status; on failure the end of the log
	if [ "$2" -eq 0 ]; then
		echo "ok - package: $1"
	else
		echo "not ok - package: $1"
		tail -n 20 "$work/log" | sed 's/^/#   /'
	fi
	return "$2"
}

is() { # text found wanted
	printf "'%s', want '%s'\n" "$2" "$3" >"$work/log"
	[ "$2" = "$3" ]
	verdict "$1" $?
}

# ---- roots -------------------------------------------------------------------

# Its mounts end with the command, which takes the place of this shell.
exec_in_root() { # command...
	exec unshare --mount --propagation private sh -c '
		mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc" && mount -t sysfs sysfs "$1/sys" || exit 125
		exec chroot "$@"' sh "$dir" "$@"
}

in_root() { (exec_in_root "$@"); } # command...

try() { # text, shell command in the root
	in_root sh -c "$2" >"$work/log" 2>&1
	verdict "$1" $?
}

# $dir becomes a new copy of a Debian with these packages, which is downloaded once.
begin_root() { # name packages [mmdebstrap's options...]
	local base=$cache/$1-$suite.tar
	if [ ! -e "$base" ]; then
		mmdebstrap --variant=minbase --include="$2" "${@:3}" "$suite" "$base.new.tar" >"$work/log" 2>&1 &&
			mv "$base.new.tar" "$base"
		verdict "$1: a clean Debian $suite" $? || return
	fi
	dir=$work/$1
	mkdir "$dir"
	tar -C "$dir" -xpf "$base" --exclude='./dev/*'
	cp /etc/resolv.conf "$dir/etc/"
	in_root dpkg-query -W -f '${Package}\n' >"$work/$1.before"
}

install_packages() { # files in $packages...
	local file
	for file; do
		cp "$packages"/$file "$dir/tmp/" 2>"$work/log" || { verdict "$file was made" 1; return; }
	done
	try "apt install ${*%%_*}" \
		'apt-get -q update && apt-get -q -y --no-install-recommends install /tmp/*.deb'
}

# Their files go, too.
purge() { # packages...
	local left
	in_root dpkg -L "$@" >"$work/files" 2>/dev/null
	try "apt purge $*" "apt-get -q -y purge $*"
	left=$(while read -r file; do
		[ -d "$dir$file" ] || [ ! -e "$dir$file" ] || echo "$file"
	done <"$work/files")
	is "files after purge of $*" "$left" ""
}
