/* SPDX-License-Identifier: MIT */
#include "mgmt/manager/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pci/pci.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mgmt/manager/api.h"

#define NODES        "/sys/devices/system/node"
#define HOST_KEPT_NS (10 * NS_PER_S)

/* ---- KVM ----------------------------------------------------------------- */

/* The probe that runs, and its result. */
static struct {
	struct loop_op ended;
	pid_t pid;
	int pidfd, output;
	json_t *result; /* NULL: not known yet */
} probe;

/* The last answer: reading all of /sys takes a while, and the manager's thread serves others. */
static struct {
	json_t *json;
	uint64_t since_ns;
} last;

static void forget(void)
{
	json_decref(last.json);
	last.json = NULL;
}

static void probe_ended(struct loop_op *op, int res)
{
	waitpid(probe.pid, NULL, 0);
	close(probe.pidfd);
	lseek(probe.output, 0, SEEK_SET);
	probe.result = json_loadfd(probe.output, 0, NULL);
	forget();
	close(probe.output);
}

static _Noreturn void probe_main(const char *program)
{
	char name[] = "enlite", command[] = "probe", json[] = "--json";
	char *const argv[] = {name, command, json, NULL};
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(null, 0);
	dup2(probe.output, 1);
	dup2(null, 2);
	execv(program, argv);
	_exit(EXIT_FAILURE);
}

void host_probe(struct loop *loop, const char *program)
{
	probe.output = memfd_create("probe", MFD_CLOEXEC);
	if (probe.output < 0)
		return;
	probe.pid = fork();
	if (!probe.pid)
		probe_main(program);
	probe.pidfd = probe.pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, probe.pid, 0);
	if (probe.pidfd < 0)
		return;
	probe.ended.done = probe_ended;
	io_uring_prep_poll_add(loop_sqe(loop, &probe.ended), probe.pidfd, POLLIN);
}

/* ---- CPUs and memory ----------------------------------------------------- */

/* The first line of a file; "" when it cannot be read. */
static void read_line(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "re");

	text[0] = '\0';
	if (!file)
		return;
	if (fgets(text, (int)size, file))
		text[strcspn(text, "\n")] = '\0';
	fclose(file);
}

static void read_model(char *text, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256];

	text[0] = '\0';
	while (file && !text[0] && fgets(line, sizeof(line), file))
		if (!strncmp(line, "model name", 10) && strchr(line, ':'))
			snprintf(text, size, "%s", strchr(line, ':') + 2);
	text[strcspn(text, "\n")] = '\0';
	if (file)
		fclose(file);
}

static json_t *cpus_json(void)
{
	char model[256];

	read_model(model, sizeof(model));
	return json_pack("{s:i, s:i, s:s}", "online", (int)sysconf(_SC_NPROCESSORS_ONLN),
		"configured", (int)sysconf(_SC_NPROCESSORS_CONF), "model", model);
}

static json_t *memory_json(void)
{
	struct sysinfo info;

	if (sysinfo(&info))
		return json_null();
	return json_pack("{s:I, s:I}", "total", (json_int_t)info.totalram * info.mem_unit, "free",
		(json_int_t)info.freeram * info.mem_unit);
}

static json_t *node_json(int number)
{
	char path[64], cpus[1024], memory[128];
	unsigned long long kib = 0;

	snprintf(path, sizeof(path), NODES "/node%d/cpulist", number);
	read_line(path, cpus, sizeof(cpus));
	snprintf(path, sizeof(path), NODES "/node%d/meminfo", number);
	read_line(path, memory, sizeof(memory));
	sscanf(memory, "Node %*d MemTotal: %llu", &kib);
	return json_pack("{s:i, s:s, s:I}", "node", number, "cpus", cpus, "memory",
		(json_int_t)(kib * 1024));
}

static json_t *nodes_json(void)
{
	DIR *dir = opendir(NODES);
	json_t *nodes = json_array();
	struct dirent *entry;
	int number;

	while (dir && (entry = readdir(dir)))
		if (sscanf(entry->d_name, "node%d", &number) == 1)
			json_array_append_new(nodes, node_json(number));
	if (dir)
		closedir(dir);
	return nodes;
}

/* ---- PCI devices --------------------------------------------------------- */

/* libpci ends the process on errors unless its caller leaves the function. */
static jmp_buf no_pci;

static void on_pci_error(char *format, ...) __attribute__((noreturn));
static void on_pci_error(char *format, ...)
{
	longjmp(no_pci, 1);
}

static void ignore_warning(char *format, ...)
{
}

static json_t *device_json(struct pci_access *pci, struct pci_dev *dev)
{
	char address[32], name[256];
	const char *group;

	pci_fill_info(
		dev, PCI_FILL_IDENT | PCI_FILL_CLASS | PCI_FILL_NUMA_NODE | PCI_FILL_IOMMU_GROUP);
	snprintf(address, sizeof(address), "%04x:%02x:%02x.%u", (unsigned)dev->domain, dev->bus,
		dev->dev, dev->func);
	if (!pci_lookup_name(pci, name, sizeof(name), PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE,
		    dev->vendor_id, dev->device_id))
		name[0] = '\0';
	group = pci_get_string_property(dev, PCI_FILL_IOMMU_GROUP);
	return json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:s?}", "address", address, "name", name,
		"vendor", dev->vendor_id, "device", dev->device_id, "class", dev->device_class,
		"node", dev->numa_node, "iommu_group", group);
}

static json_t *pci_json(void)
{
	struct pci_access *volatile pci = pci_alloc();
	json_t *const devices = json_array();

	if (!pci)
		return devices;
	pci->error = on_pci_error;
	pci->warning = ignore_warning;
	if (!setjmp(no_pci)) {
		pci_init(pci);
		pci_scan_bus(pci);
		for (struct pci_dev *dev = pci->devices; dev; dev = dev->next)
			json_array_append_new(devices, device_json(pci, dev));
		pci_cleanup(pci);
	}
	return devices;
}

/* ---- all ----------------------------------------------------------------- */

json_t *host_json(void)
{
	struct utsname name;

	uname(&name);
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:O?, s:o}", "name", name.nodename, "kernel",
		name.release, "cpus", cpus_json(), "memory", memory_json(), "nodes", nodes_json(),
		"kvm", probe.result, "pci", pci_json());
}

void api_host(struct api_request *q)
{
	uint64_t now = loop_now_ns();

	if (now - last.since_ns > HOST_KEPT_NS)
		forget();
	if (!last.json) {
		last.json = host_json();
		last.since_ns = now;
	}
	api_json(q, 200, json_incref(last.json));
}
