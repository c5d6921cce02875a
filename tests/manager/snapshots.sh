# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# Snapshots, clones, screenshots and jobs that are cancelled: tests of tests/manager/run. The guest is
# tests/flat/counter.c, whose memory tells how much it has lived.

snapshot_kills=${MANAGER_LONG:+60}
snapshot_kills=${snapshot_kills:-8}
reflink='' # a directory on a file system that shares blocks, or why there is none
no_reflink="not set up"

# XFS on a loop device.
reflink_setup() {
	local mount=$work/reflink
	[ -z "$no_reflink" ] && return
	no_reflink="needs root"
	[ "$(id -u)" -eq 0 ] || return
	no_reflink="mkfs.xfs and loop devices are needed"
	mkdir -p "$mount"
	truncate -s 400M "$memory/xfs"
	mkfs.xfs -q -m reflink=1 "$memory/xfs" >>"$log" 2>&1 && mount -o loop "$memory/xfs" "$mount" 2>>"$log" || return
	reflink=$mount no_reflink=
}

reflink_cleanup() {
	[ -z "$reflink" ] || umount "$reflink"
	rm -f "$memory/xfs"
	reflink=''
	no_reflink="not set up"
}

# ---- the guest and its disk --------------------------------------------------

counter() { # name, directory of its disk, options...
	local name=$1 disk=$2/$1.img
	shift 2
	truncate -s 8M "$disk"
	set_disk "$name" "${disk%/*}" new
	"$enlite" vm define --name "$name" --kernel "$flat/counter.elf" --memory 64M --disk "$disk" "$@" \
		>/dev/null 2>>"$log"
}

# What the guest would have written: it has no driver.
set_disk() { # name, directory, text
	printf '%-16s' "$3" | dd of="$2/$1.img" bs=16 seek=1000 conv=notrunc 2>/dev/null
}
disk_text() { dd if="$1" bs=16 skip=1000 count=1 2>/dev/null | tr -d ' \0'; } # file
disk_is() { [ "$(disk_text "$1")" = "$2" ] || echo "'$(disk_text "$1")', not '$2'"; }
file_of() { "$enlite" vm show "$1" --json | jq -r '.config.disks[0].file'; }

live() { printf x | "$enlite" vm console "$1" >/dev/null 2>>"$log"; } # the guest counts one more
count_of() { "$enlite" vm console "$1" </dev/null 2>>"$log" | tr -d '\r' | sed -n 's/^count //p' | tail -n 1; }
counted() { [ "$(count_of "$1")" = "$2" ]; }
lives_on() { # name, what it counts next
	live "$1"
	wait_until counted "$1" "$2" || echo "it counts $(count_of "$1"), not $2"
}

snapshots_of() { "$enlite" vm snapshots "$1" --json 2>>"$log" | jq -r '[.snapshots[] | .name + ":" + .state] | join(" ")'; }
has_snapshots() { [ "$(snapshots_of "$1")" = "$2" ] || snapshots_of "$1"; }

# Files of snapshots and clones that nobody has.
snapshot_leftovers() { # directory of disks
	find "$memory/state/snapshots" -type f
	find "$1" -name '*.snapshot-*'
}

job_is() { [ "$(api call GET "/jobs/$1" | sed 's/^[0-9]* //' | jq -r .state)" = "$2" ]; } # job, state
job_of() { sed 's/^[0-9]* //' <<<"$1" | jq -r '.id // empty' 2>/dev/null; } # answer

# ---- tests -------------------------------------------------------------------

# copy: "" on a file system with reflink, or --copy.
snapshot_life() { # directory, --copy or nothing
	local dir=$1 how=${2:-reflink} copy=${2-}
	counter snap "$dir"
	vm start snap
	wait_until counted snap 0
	lives_on snap 1 >/dev/null
	set_disk snap "$dir" before
	# shellcheck disable=SC2086
	verdict "$how: a snapshot of a VM that runs" "$("$enlite" vm snapshot snap@one $copy 2>&1)"
	verdict "$how: and the VM runs on" "$(state_is snap running; lives_on snap 2; lives_on snap 3)"
	set_disk snap "$dir" after
	# shellcheck disable=SC2086
	refused "$how: a second one of this name" "has a snapshot of this name" snapshot snap@one $copy
	refused "$how: a restore while it runs" "not possible while the VM is running" restore snap@one
	vm stop snap
	verdict "$how: it is restored" "$("$enlite" vm restore snap@one 2>&1; state_is snap running)"
	verdict "$how: with the memory of that instant" "$(lives_on snap 2)"
	verdict "$how: and the disk" "$(disk_is "$dir/snap.img" before)"
	verdict "$how: a clone of the snapshot" "$("$enlite" vm clone snap@one twin 2>&1; state_is twin saved)"
	vm start twin
	verdict "$how: runs beside the original" "$(state_is twin running; lives_on twin 2; lives_on snap 3)"
	verdict "$how: with a disk of its own" "$(disk_is "$(file_of twin)" before
		[ "$(file_of twin)" != "$dir/snap.img" ] || echo "the same file")"
	verdict "$how: the list" "$(has_snapshots snap one:complete)"
	refused "$how: a VM with snapshots is not removed" "not possible while\|has 1 snapshots" rm snap
	verdict "$how: the snapshot is removed, with its files" \
		"$("$enlite" vm rm snap@one 2>&1; snapshot_leftovers "$dir")"
	verdict "$how: the clone does not need it" "$(lives_on twin 3)"
	vm save twin
	vm start twin
	verdict "$how: a clone is saved and goes on" "$(state_is twin running; lives_on twin 4)"
	vm stop snap
	vm stop twin
	rm -f "$(file_of twin)" "$dir/snap.img"
	vm rm snap
	vm rm twin
}

test_snapshots() {
	mkdir -p "$memory/disks"
	snapshot_life "$memory/disks" --copy
	reflink_setup
	needs "$no_reflink" "snapshots that share blocks" || return
	snapshot_life "$reflink"
	reflink_cleanup
}

# Off, paused, saved.
test_snapshot_states() {
	local dir=$memory/disks
	mkdir -p "$dir"
	counter st "$dir"
	verdict "a snapshot of a VM that is off" "$("$enlite" vm snapshot st@off --copy 2>&1; state_is st off)"
	set_disk st "$dir" later
	vm start st
	wait_until counted st 0
	vm pause st
	verdict "of one that is paused, which it stays" \
		"$("$enlite" vm snapshot st@paused --copy 2>&1; state_is st paused)"
	vm resume st
	vm save st
	verdict "of one that is saved, which it stays" \
		"$("$enlite" vm snapshot st@saved --copy 2>&1; state_is st saved)"
	vm start st
	verdict "the saved state is used once, the snapshot stays" "$(lives_on st 1; lives_on st 2)"
	vm stop st
	verdict "the saved one is restored" "$("$enlite" vm restore st@saved 2>&1; lives_on st 1; lives_on st 2)"
	vm stop st
	verdict "the paused one is restored" "$("$enlite" vm restore st@paused 2>&1; lives_on st 1)"
	verdict "with its disk" "$(disk_is "$dir/st.img" later)"
	vm stop st
	verdict "the one of the VM that was off" "$("$enlite" vm restore st@off 2>&1; state_is st off)"
	verdict "with its disk, too" "$(disk_is "$dir/st.img" new)"
	refused "--copy of a snapshot that exists" "says itself how its disks are copied" clone st@off st2 --copy
	verdict "a clone in one command" "$("$enlite" vm clone st st2 --copy 2>&1; state_is st2 off)"
	verdict "leaves no snapshot of its own" "$(has_snapshots st "off:complete paused:complete saved:complete")"
	verdict "the clone has another ID" "$([ "$("$enlite" vm show st2 --json | jq -r .id)" != \
		"$("$enlite" vm show st --json | jq -r .id)" ] || echo "the same")"
	rm -f "$(file_of st2)" "$dir/st.img"
	vm rm st2
	for name in off paused saved; do vm rm st@$name; done
	vm rm st
	verdict "nothing is left of them" "$(snapshot_leftovers "$dir")"
}

nics_are_own() { # name
	local id mac
	id=$("$enlite" vm show "$1" --json | jq -r .id)
	mac=$("$enlite" vm show "$1" --json | jq -r '.config.nics[0].mac')
	[ "$(jq .old_nics "$work/run/enlite/$id.run")" = false ] &&
		api call GET "/vms/$1/nics" | grep -q "$mac"
}

test_clone_nics() {
	local name
	define net --net null
	vm start net
	verdict "a clone of a VM with a NIC, in one command" "$("$enlite" vm clone net net2 2>&1; state_is net running)"
	verdict "has another address" "$([ "$("$enlite" vm show net2 --json | jq -r '.config.nics[0].mac')" != \
		"$("$enlite" vm show net --json | jq -r '.config.nics[0].mac')" ] || echo "it has not")"
	vm start net2
	verdict "its guest gets that, too" "$(wait_until nics_are_own net2 || cat "$work"/run/enlite/*.run)"
	verdict "and no NIC was lost" "$([ "$(api call GET /vms/net2/nics | sed 's/^[0-9]* //' | jq '.nics | length')" = 1 ] ||
		api call GET /vms/net2/nics)"
	vm save net2
	vm start net2
	verdict "it is saved and goes on with it" "$(state_is net2 running; nics_are_own net2 || echo no)"
	for name in net net2; do vm stop $name; vm rm $name; done
}

test_snapshot_refused() {
	local dir=$memory/disks path
	mkdir -p "$dir"
	counter ref "$dir"
	refused "a snapshot where blocks cannot be shared" "cannot share blocks.*--copy" snapshot ref@no
	verdict "leaves nothing" "$(has_snapshots ref ""; snapshot_leftovers "$dir")"
	refused "a snapshot's name that is a path" "not starting with" snapshot ref@../x
	refused "one that nothing has" "has no snapshot x" restore ref@x
	refused "its clone" "has no snapshot x" clone ref@x other
	vm snapshot ref@ok --copy
	refused "a clone whose name is a path" "not starting with" clone ref@ok ../other
	refused "a clone of a name that is taken" "defined already" clone ref@ok ref
	for path in '/vms/ref/snapshots/..' '/vms/ref/snapshots/..%2Fok' '/vms/..%2Fref/snapshots/ok' \
		'/vms/ref/snapshots/%2e%2e%2fx'; do
		verdict "DELETE $path" "$(says_status 400 DELETE "$path")"
		verdict "POST $path/restore" "$(says_status 400 POST "$path/restore" '')"
		verdict "POST $path/clone" "$(says_status 400 POST "$path/clone" '{"name":"y"}')"
	done
	verdict "a body with ../ as name" "$(says_status 400 POST /vms/ref/snapshots '{"name":"../x"}')"
	verdict "a clone with ../ as name" "$(says_status 400 POST /vms/ref/snapshots/ok/clone '{"name":"../x"}')"
	verdict "a disk that is changed before a clone starts is found" "$(changed_clone "$dir")"
	define nbd --disk nbd+unix:///?socket=/nowhere
	refused "a disk on an NBD server" "is on an NBD server" snapshot nbd
	define mem --disk memory:1M
	refused "a disk in memory" "is in the memory" snapshot mem
	truncate -s 1M "$dir/ro.img"
	define ro --disk "$dir/ro.img,ro"
	verdict "a disk that is only read is no part of a snapshot" \
		"$("$enlite" vm snapshot ro@x 2>&1; find "$dir" -name 'ro.img.snapshot*')"
	define nic --net pair:"$work/pair"
	vm snapshot nic@x
	refused "a NIC that only one VM can have" "is of one VM; give --disconnect" clone nic@x nic2
	verdict "is not connected if asked" "$("$enlite" vm clone nic@x nic2 --disconnect 2>&1; config_has nic2 \
		'.nics[0].backend == "null"')"
	rm -f "$dir"/r*.img
	for name in ref@ok nic@x ro@x ref nbd mem ro nic nic2; do vm rm $name; done
}

changed_clone() { # directory
	vm start ref
	vm snapshot ref@live --copy
	vm clone ref@live late
	touch "$(file_of late)"
	"$enlite" vm start late >"$work/out" 2>&1
	grep -q "was changed since the VM was cloned" "$work/out" || cat "$work/out"
	state_is late saved
	rm -f "$(file_of late)"
	vm rm late
	vm stop ref
	vm rm ref@live
}

# The manager is killed as soon as a file is there; "": when the request has been answered.
kill_at() { # pattern or "", path, body
	local request end=$((SECONDS + 5))
	api call POST "$2" "$3" >/dev/null &
	request=$!
	[ -n "$1" ] || wait $request
	until [ -z "$1" ] || compgen -G "$1" >/dev/null || [ $SECONDS -gt $end ]; do :; done
	[ $SECONDS -gt $end ] || instants=$((instants + 1))
	kill_manager
	wait $request
	start_manager
}

# What is made, in this order, while a snapshot is taken, restored, cloned.
test_snapshot_kills() {
	local n wrong='' dir=$memory/disks name instants=0 complete=0
	local files=("$memory/state/snapshots/*.json" "$memory/state/snapshots/*.image*" "$dir/sk.img.snapshot-*" "")
	mkdir -p "$dir"
	counter sk "$dir" --append fill
	dd if=/dev/zero of="$dir/sk.img" bs=1M seek=1 count=127 conv=notrunc 2>/dev/null # a copy takes a while
	vm start sk
	wait_until counted sk 0
	for ((n = 0; n < snapshot_kills; n++)); do
		kill_at "${files[n % 4]}" /vms/sk/snapshots '{"name":"s","copy":true}'
		wait_until is_state sk running || wrong+="$n: $(state sk); "
		wrong+=$(lives_on sk $((n + 1)))
		wait_until no_half_snapshot sk || wrong+="$n: $(snapshots_of sk); "
		[ -z "$(snapshots_of sk)" ] || { complete=$((complete + 1)); vm rm sk@s; }
		name=$(snapshot_leftovers "$dir")
		[ -z "$name" ] || wrong+="$n: $name; "
	done
	echo "# $instants of $snapshot_kills at their instant, $complete complete"
	verdict "$snapshot_kills kills while a snapshot is taken: the VM runs, no half one is there" "$wrong"
	vm snapshot sk@base --copy
	vm stop sk
	kill_restores "$dir"
	kill_clones "$dir"
	vm rm sk@base
	vm rm sk
	rm -f "$dir"/sk.img*
}

no_half_snapshot() { ! [[ "$(snapshots_of "$1")" == *:taking* ]]; }

kill_restores() { # directory
	local n wrong='' instants=0 complete=0 text
	for ((n = 0; n < snapshot_kills; n++)); do
		set_disk sk "$1" other
		kill_at "$memory/state/snapshots/*.restore" /vms/sk/snapshots/base/restore ''
		wait_until is_settled_saved sk || wrong+="$n: $(state sk); "
		text="$(disk_text "$1/sk.img") $(state sk)"
		[ "$text" = "other off" ] || [ "$text" = "new saved" ] || wrong+="$n: $text; "
		[ "$(state sk)" != saved ] || { complete=$((complete + 1)); vm discard sk; }
	done
	echo "# $instants of $snapshot_kills at their instant, $complete complete"
	verdict "$snapshot_kills kills while one is restored: all of it, or nothing" "$wrong"
}

is_settled_saved() { [[ " off saved " == *" $(state "$1") "* ]] && [ -z "$(find "$memory/state/snapshots" -name '*.restore')" ]; }

kill_clones() { # directory
	local n wrong='' files instants=0 complete=0
	local made=("$memory/state/snapshots/*.clone" "$1/sk.img.c-*" "$memory/state/images/*.trusted" "")
	for ((n = 0; n < snapshot_kills; n++)); do
		kill_at "${made[n % 4]}" /vms/sk/snapshots/base/clone '{"name":"c"}'
		files=$(find "$1" -name "sk.img.c-*" | wc -l)
		case "$(state c) $files" in
		"saved 1") complete=$((complete + 1)); vm rm c ;;
		" 0") ;;
		*) wrong+="$n: $(state c) with $files files; " ;;
		esac
		rm -f "$1"/sk.img.c-*
		[ -z "$(find "$memory/state" -name '*.clone' -o -name '*.trusted')" ] || wrong+="$n: a note is left; "
	done
	echo "# $instants of $snapshot_kills at their instant, $complete complete"
	verdict "$snapshot_kills kills while one is cloned: a VM, or nothing" "$wrong"
}

# A worker that is stopped keeps the request waiting, so that the cancel is early enough.
cancelled() { # name, method, path, body
	local name=$1 job pid
	shift
	pid=$(pid_of "$name")
	kill -STOP "$pid"
	job=$(job_of "$(api call "$@")")
	says_status 202 DELETE "/jobs/$job"
	kill -CONT "$pid"
	wait_until job_is "$job" cancelled || api call GET "/jobs/$job"
	says_status 409 DELETE "/jobs/$job"
}

is_pausing() { [ "$(jq .paused "$1")" = true ]; } # record

# The manager is told to end while a snapshot is taken; a worker that is stopped holds that up.
end_meanwhile() { # name, directory; what is wrong into $wrong
	local pid record
	pid=$(pid_of "$1") record=$work/run/enlite/$(id_of "$1").run
	kill -STOP "$pid"
	api call POST "/vms/$1/snapshots" '{"name":"x","copy":true}' >/dev/null
	wait_until is_pausing "$record" || wrong+="it was not being paused; "
	kill -TERM "$manager"
	kill -CONT "$pid"
	wait "$manager" || wrong+="status $?; "
	[ "$(jq .paused "$record")" = false ] || wrong+="the VM is left paused; "
	wrong+=$(snapshot_leftovers "$2")
	start_manager
}

test_cancel() {
	local dir=$memory/disks wrong=''
	mkdir -p "$dir"
	counter can "$dir" --append fill
	vm start can
	wait_until counted can 0
	verdict "a save is cancelled" "$(cancelled can PUT /vms/can/state '{"request":"save"}')"
	verdict "the VM runs, and no image is left" \
		"$(wait_until is_state can running || state can; lives_on can 1; find "$memory/state/images" -type f)"
	verdict "a snapshot is cancelled" "$(cancelled can POST /vms/can/snapshots '{"name":"x","copy":true}')"
	verdict "the VM runs, and nothing is left of it" "$(wait_until is_state can running || state can
		lives_on can 2; has_snapshots can ""; snapshot_leftovers "$dir")"
	vm save can
	vm start can
	verdict "the next save is none of its business" "$(lives_on can 3)"
	end_meanwhile can "$dir"
	verdict "a manager that ends takes a snapshot back, and the VM runs" \
		"$wrong$(wait_until is_state can running || state can; lives_on can 4)"
	verdict "a stop cannot be cancelled" "$(says_status 409 DELETE "/jobs/$(job_of "$(api call PUT /vms/can/state \
		'{"request":"stop"}')")")"
	wait_until is_state can off
	vm rm can
	rm -f "$dir/can.img"
}

is_png() { [ "$(head -c 4 "$1" | tail -c 3)" = PNG ] && [ "$(wc -c <"$1")" -gt 100 ] || echo "no picture"; } # file

test_screenshot() {
	local name
	define seen --display headless
	refused "a screenshot of a VM that is off" "not possible while the VM is off" screenshot seen "$work/shot.png"
	vm start seen
	verdict "leaves no file" "$(find "$work" -name shot.png)"
	verdict "a screenshot" "$("$enlite" vm screenshot seen "$work/shot.png" 2>&1; is_png "$work/shot.png")"
	verdict "by HTTP" "$(api call GET /vms/seen/screenshot | tr -d '\0' | LC_ALL=C grep -aq '^200 .PNG' || echo "no picture")"
	define blind
	vm start blind
	refused "of a VM without a display" "has no display" screenshot blind "$work/blind.png"
	for name in seen blind; do vm stop $name; vm rm $name; done
}
