# SPDX-License-Identifier: MIT
# Guest side: timers.

centiseconds() { cut -d' ' -f1 /proc/uptime | tr -d .; }

# Each VP uses the timer; sleeps end, and not early.
job_timers() {
	for device in /sys/devices/system/clockevents/clockevent[0-9]*; do
		is "${device##*/}" "$(cat "$device/current_device")" "Hyper-V clockevent"
	done
	before=$(centiseconds)
	for nap in 1 2 3 4 5 6 7 8 9 10; do usleep 50000; done
	slept=$(($(centiseconds) - before))
	if [ $slept -ge 50 ]; then ok "ten sleeps of 50 ms"; else not_ok "ten sleeps of 50 ms" "took ${slept}0 ms"; fi
	say has_stimer "$(grep -c HVS: /proc/interrupts)"
	dmesg_findings
}
