# SPDX-License-Identifier: MIT
# What reports and tables of the benches have in common. Input of a report: the objects that
# bench/lib/guests.sh has put down, as an array.

# ---- reports -----------------------------------------------------------------

def median: sort | if length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def spread: if length == 0 then null else { median: median, min: min, max: max } end;

# Of a measurement, and of an idle guest.
def window: (.end.time - .begin.time);
def cpu_seconds($head): ((.end.user + .end.system - .begin.user - .begin.system) / $head.ticks);

# Time of the guest's VPs: as the host has seen them in the guest, by its timer's ticks; and as the guest
# itself has seen them not idle (1/100 s), which includes exits and waiting for a CPU of the host.
def vp_seconds($head): ((.end.guest - .begin.guest) / $head.ticks);
def guest_seconds: .guest_busy / 100;

# How much of a CPU the neighbour got, or null.
def neighbour_cpus($head): if .end.neighbour then (.end.neighbour - .begin.neighbour) / $head.ticks / window else null end;

# What KVM has counted in the window.
def kvm_counts: . as $m | .end |
	with_entries(select(.key | IN("time", "user", "system", "guest", "neighbour") | not) | .value -= $m.begin[.key]);

# What ours counts itself, over the whole cell. An older enlite has no devices: its LUNs and channels
# are keys of the whole.
def ours(f): (.stats_after | f) - (.stats_before | f);
def devices: .devices // [.];
def doorbells: ours([devices[].channels[].doorbells] | add);
def interrupts: ours([devices[].channels[].interrupts] | add);

# A measurement that is missing is a failure.
def missing($head; $all):
	[$head.cells[] as $c | $head.peers[] as $p | range(1; $head.rounds + 1) as $r |
		select(all($all[]; .cell != $c or .peer != $p or .round != $r)) |
		"\($p) has no figure of \($c) in round \($r)"];

# Of a figure of the first peer's rounds to that of another's, round by round.
def ratios($base; figure): [.[] | select(figure > 0) as $r | $base[] | select(.round == $r.round) |
	figure / ($r | figure)] | spread;

# One object per cell, with one per peer: what `figures` makes of the peer's rounds, and the ratios of the
# first peer to it, of its value and of the guest's CPU time.
def results($head; $all; value; guest_us; figures):
	[$head.cells[] as $c | { cell: $c, peers: [
		([$all[] | select(.cell == $c and .peer == $head.peers[0])] | sort_by(.round)) as $base |
		$head.peers[] as $p | ([$all[] | select(.cell == $c and .peer == $p)] | sort_by(.round)) as $rounds |
		{ peer: $p, ratio: ($rounds | ratios($base; value)), guest_ratio: ($rounds | ratios($base; guest_us)) } +
			($rounds | figures)
	] }];

def report($head; $all; $failures; $results):
	($failures + [.[] | select(.problem) | .problem]) as $failures |
	{
		ok: ($failures | length == 0),
		failures: $failures,
		settings: $head,
		lost: [.[] | select(.lost)],
		guests: [.[] | select(.guest) | { peer: .guest, command, facts }],
		idle: [.[] | select(.idle) | { peer: .idle, exits_per_second: ((.end.exits - .begin.exits) / window),
			cpus_used: (cpu_seconds($head) / window), neighbour_cpus: neighbour_cpus($head) }],
		results: $results,
		rounds: $all
	};

# ---- tables ------------------------------------------------------------------

def r(n): . * pow(10; n) | round / pow(10; n) | tostring;
def left(n): . + " " * ([n - length, 0] | max);
def right(n): " " * ([n - length, 0] | max) + .;
def range_of(n): if . == null then "" else "\(.min | r(n))..\(.max | r(n))" end;
def one(n): if . == null then "-" else (.median | r(n)) end;
# Columns of CPU time: microseconds with n digits.
def cpu_titles: " \("CPU us" | right(9)) \("VP us" | right(9)) \("guest us" | right(9)) \("ratio" | right(5)) \("" | left(11))";
def cpu_columns(cpu; vp; guest; n):
	" \(cpu | one(n) | right(9)) \(vp | one(n) | right(9)) \(guest | one(n) | right(9)) \(.guest_ratio | one(2) | right(5)) \(.guest_ratio | range_of(2) | left(11))";

# A column of the neighbour, if there is one.
def neighbour_title: if .settings.neighbour then "neigh" | right(8) else "" end;
def neighbour_of($settings): if $settings.neighbour then "\(.neighbour_cpus | one(2) | right(8))" else "" end;
def peer_width: [.settings.peers[] | length] + [12] | max;

# The first lines of a table. $device is what the guest has of us, $taken how figures are taken.
def head_lines($device; $taken): .settings as $s |
	"host KVM      \($s.kvm), \($s.place)\(if $s.place == "nested" then " (BED_THREAD=\($s.bed_thread))" else "" end), \($s.host_cpus) CPUs, Linux \($s.host_kernel)",
	"guest         Linux \(.guests[0].facts.kernel), \($s.vps) VP, \($s.memory_mib) MiB; \($device)",
	"peers         \($s.qemu | split(" (")[0]), KVM; enlite options: \(if $s.enlite_args == "" then "none" else $s.enlite_args end)",
	"taken         \($s.rounds) rounds in turn, \($s.seconds) s per cell; \($taken)",
	"idle          exits/s (%CPU): \([.idle[] | "\(.peer) \(.exits_per_second | r(0)) (\(.cpus_used * 100 | r(1)))"] | join(", "))",
	(if $s.neighbour then "neighbour     one more guest that uses its VP all the time; it gets \(
		[.idle[].neighbour_cpus] | median * 100 | r(0)) %CPU while all are idle; neigh: what it gets in the cell" else empty end),
	(if .lost == [] then empty else "lost          \(.lost | map("\(.lost) (\(.during))") | join(", ")): booted again, the cell repeated" end),
	"median min..max over the rounds; ratio: \($s.peers[0]) to the peer, round by round",
	"CPU us: all time of the host's process; VP us: that part of it in the guest; guest us: VPs not idle, as the guest sees it (exits are part of it), and the ratio of that";
