/* SPDX-License-Identifier: MIT */
/* NUMA nodes of devices, and which of them the I/O threads get, with a sysfs made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/numa.h"
#include "vm/placement.h"
#include "vm/vm_impl.h"

static char sys[64], disk[96], block[128];

#define NVME "devices/pci0000:00/0000:00:04.0/nvme/nvme0/nvme0n1"

/* ---- a sysfs ------------------------------------------------------------- */

static void run(const char *command)
{
	assert_int_equal(system(command), 0);
}

static void make_dir(const char *name)
{
	char command[256];

	snprintf(command, sizeof(command), "mkdir -p '%s/%s'", sys, name);
	run(command);
}

static void write_file(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", sys, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "%s\n", text);
	fclose(file);
}

static void make_link(const char *name, const char *to)
{
	char path[256], target[256];

	snprintf(path, sizeof(path), "%s/%s", sys, name);
	snprintf(target, sizeof(target), "%s/%s", sys, to);
	unlink(path);
	assert_int_equal(symlink(target, path), 0);
}

/* The device that the disk's file is on. */
static void put_disk_on(const char *device)
{
	struct stat st;

	assert_int_equal(stat(disk, &st), 0);
	snprintf(block, sizeof(block), "dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
	make_link(block, device);
}

static int setup(void **state)
{
	snprintf(sys, sizeof(sys), "/tmp/placement-test-XXXXXX");
	if (!mkdtemp(sys))
		return -1;
	snprintf(disk, sizeof(disk), "%s/disk.img", sys);
	write_file("disk.img", "");
	make_dir("dev/block");
	make_dir("class/net");
	make_dir("devices/system/node/node0");
	make_dir("devices/system/node/node1");
	write_file("devices/system/node/node0/cpulist", "1023");
	write_file("devices/system/node/node1/cpulist", "0-2,1000");
	make_dir(NVME);
	write_file("devices/pci0000:00/0000:00:04.0/numa_node", "1");
	make_dir("devices/pci0000:00/0000:00:05.0/net/eth0");
	write_file("devices/pci0000:00/0000:00:05.0/numa_node", "0");
	make_link("class/net/eth0", "devices/pci0000:00/0000:00:05.0/net/eth0");
	make_dir("devices/virtual/net/br0");
	make_link("class/net/br0", "devices/virtual/net/br0");
	make_dir("devices/virtual/net/tap0");
	make_link("class/net/tap0", "devices/virtual/net/tap0");
	make_link("devices/virtual/net/tap0/master", "devices/virtual/net/br0");
	make_link("devices/virtual/net/br0/lower_tap0", "devices/virtual/net/tap0");
	put_disk_on(NVME);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r '%s'", sys);
	return system(command);
}

/* ---- nodes of devices ---------------------------------------------------- */

static void of_a_file(void **state)
{
	assert_int_equal(numa_count(sys), 2);
	assert_int_equal(numa_of_file(sys, disk), 1);
	assert_int_equal(numa_of_file(sys, "/nonexistent/disk"), NUMA_NONE);
	write_file("devices/pci0000:00/0000:00:04.0/numa_node", "-1");
	assert_int_equal(numa_of_file(sys, disk), NUMA_NONE);
	write_file("devices/pci0000:00/0000:00:04.0/numa_node", "1");
}

static void of_a_file_on_the_device_mapper(void **state)
{
	make_dir("devices/virtual/block/dm-1/slaves");
	make_dir("devices/virtual/block/dm-0/slaves");
	make_link("devices/virtual/block/dm-1/slaves/dm-0", "devices/virtual/block/dm-0");
	put_disk_on("devices/virtual/block/dm-1");
	assert_int_equal(numa_of_file(sys, disk), NUMA_NONE);
	make_link("devices/virtual/block/dm-0/slaves/nvme0n1", NVME);
	assert_int_equal(numa_of_file(sys, disk), 1);
	make_link("devices/virtual/block/dm-0/slaves/dm-1", "devices/virtual/block/dm-1");
	make_link("devices/virtual/block/dm-0/slaves/nvme0n1", "devices/virtual/block/dm-1");
	assert_int_equal(numa_of_file(sys, disk), NUMA_NONE); /* in a circle */
	put_disk_on(NVME);
}

static void of_an_interface(void **state)
{
	assert_int_equal(numa_of_interface(sys, "eth0"), 0);
	assert_int_equal(numa_of_interface(sys, "tap0"), NUMA_NONE);
	assert_int_equal(numa_of_interface(sys, "nosuch0"), NUMA_NONE);
	make_link("devices/virtual/net/br0/lower_eth0", "devices/pci0000:00/0000:00:05.0/net/eth0");
	assert_int_equal(numa_of_interface(sys, "br0"), 0);
	assert_int_equal(numa_of_interface(sys, "tap0"), 0);
}

static void cpus_of_a_node(void **state)
{
	cpu_set_t cpus;

	assert_int_equal(numa_cpus(sys, 1, &cpus), 0);
	assert_int_equal(CPU_COUNT(&cpus), 4);
	assert_true(CPU_ISSET(0, &cpus) && CPU_ISSET(2, &cpus) && CPU_ISSET(1000, &cpus));
	assert_true(numa_cpus(sys, 7, &cpus) < 0);
	write_file("devices/system/node/node0/cpulist", "1,x");
	assert_true(numa_cpus(sys, 0, &cpus) < 0);
	write_file("devices/system/node/node0/cpulist", "1023");
}

/* ---- the choice ---------------------------------------------------------- */

static struct vm_config config;

static void choose(const char *option, const char *value)
{
	char *argv[] = {
		"run", "--kernel", "vmlinuz", "--disk", disk, (char *)option, (char *)value, NULL};
	struct err e;

	vm_config_free(&config);
	assert_int_equal(vm_config_init(&config, &e), 0);
	assert_int_equal(vm_config_args(&config, option ? 7 : 5, argv, &e), 0);
	assert_int_equal(vm_config_complete(&config, &e), 0);
	placement_choose(&config, sys);
}

static void the_node_of_the_disk(void **state)
{
	cpu_set_t ours, wanted;

	choose(NULL, NULL);
	assert_int_equal(numa_cpus(sys, 1, &wanted), 0);
	assert_int_equal(sched_getaffinity(0, sizeof(ours), &ours), 0);
	CPU_AND(&wanted, &wanted, &ours);
	assert_int_equal(config.io_placed, CPU_COUNT(&wanted) > 0);
	if (config.io_placed)
		assert_int_equal(config.io_node, 1);
	if (config.io_placed)
		assert_true(CPU_EQUAL(&config.io_cpus, &wanted));
}

static void devices_without_a_node_say_nothing(void **state)
{
	bool placed;

	choose(NULL, NULL);
	placed = config.io_placed;
	choose("--disk", "memory:1M");
	assert_int_equal(config.io_placed, placed);
	choose("--net", "null");
	assert_int_equal(config.io_placed, placed);
}

static void none_when_devices_differ(void **state)
{
	choose("--net", "tap:eth0");
	assert_false(config.io_placed);
}

static void none_of_which_we_have_no_cpu(void **state)
{
	write_file("devices/pci0000:00/0000:00:04.0/numa_node", "0");
	choose(NULL, NULL);
	assert_false(config.io_placed);
	write_file("devices/pci0000:00/0000:00:04.0/numa_node", "1");
}

static void nothing_on_a_machine_with_one_node(void **state)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/devices/system/node/node0/cpulist", sys);
	assert_int_equal(unlink(path), 0);
	*strrchr(path, '/') = '\0';
	assert_int_equal(rmdir(path), 0);
	choose(NULL, NULL);
	assert_false(config.io_placed);
	vm_config_free(&config);
}

/* ---- the threads --------------------------------------------------------- */

static void threads_run_where_they_were_placed(void **state)
{
	static const struct vm_unit_ops *const units[] = {&io_threads_unit, NULL};
	static struct vm vm;
	cpu_set_t ours, found;
	struct err e;
	int last = CPU_SETSIZE - 1;

	choose(NULL, NULL);
	assert_int_equal(sched_getaffinity(0, sizeof(ours), &ours), 0);
	while (!CPU_ISSET(last, &ours))
		last--;
	CPU_ZERO(&config.io_cpus);
	CPU_SET(last, &config.io_cpus);
	config.io_placed = true;
	config.io_threads = 1;
	config.poll_us = 0;
	vm_init(&vm, &config, units);
	assert_int_equal(loop_init(&vm.control, "control", &e), 0);
	assert_int_equal(io_threads_unit.open(&vm, &e), 0);
	assert_int_equal(pthread_getaffinity_np(vm.io_thread[0].thread, sizeof(found), &found), 0);
	assert_true(CPU_EQUAL(&found, &config.io_cpus));
	io_threads_unit.close(&vm);
	loop_fini(&vm.control);
	vm_config_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_a_file),
		cmocka_unit_test(of_a_file_on_the_device_mapper),
		cmocka_unit_test(of_an_interface),
		cmocka_unit_test(cpus_of_a_node),
		cmocka_unit_test(the_node_of_the_disk),
		cmocka_unit_test(devices_without_a_node_say_nothing),
		cmocka_unit_test(none_when_devices_differ),
		cmocka_unit_test(none_of_which_we_have_no_cpu),
		cmocka_unit_test(nothing_on_a_machine_with_one_node),
		cmocka_unit_test(threads_run_where_they_were_placed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
