/* SPDX-License-Identifier: MIT */
#include "cli/cmd_probe.h"

#include <errno.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/table.h"
#include "vm/vm.h"

static const char *const kind_names[] = {
	[PROBE_KIND_UNKNOWN] = "unknown",
	[PROBE_KIND_VMX] = "vmx",
	[PROBE_KIND_SVM] = "svm",
	[PROBE_KIND_SOFTWARE] = "software",
};

static const char *const outcome_names[] = {
	[PROBE_WORKS] = "works",
	[PROBE_NOT_OFFERED] = "not offered",
	[PROBE_NOT_EMULATED] = "not emulated",
	[PROBE_FAULTED] = "faulted",
	[PROBE_WRONG_RESULT] = "wrong result",
	[PROBE_HUNG] = "hung",
	[PROBE_BROKEN] = "broken",
};

enum probe_status probe_status(const struct probe_result *r)
{
	if (!r->usable)
		return PROBE_STATUS_UNUSABLE;
	return r->distro_kernel ? PROBE_STATUS_DISTRO : PROBE_STATUS_FLAT;
}

static const char *advice_for_error(const struct probe_result *r)
{
	if (!r->present)
		return "There is no KVM: load it (modprobe kvm_intel or kvm_amd), switch on "
		       "virtualisation in the firmware, or give the container --device /dev/kvm. "
		       "Elsewhere, run stock kernels with bed/run.";
	switch (r->open_error) {
	case EACCES:
	case EPERM:
		return "No permission: become root, or join the group that owns /dev/kvm "
		       "(usermod -aG kvm USER, then log in again).";
	case EBUSY:
		return "Another hypervisor holds the CPU's virtualisation (VirtualBox, VMware): stop it.";
	case 0:
		return "This kernel's KVM is too old or too small: see the needed capabilities "
		       "that are missing; Linux 5.10 or newer has all of them.";
	default:
		return "KVM does not work here: see the error, and the kernel log.";
	}
}

const char *probe_advice(const struct probe_result *r)
{
	switch (probe_status(r)) {
	case PROBE_STATUS_DISTRO:
		return "Stock kernels run right here.";
	case PROBE_STATUS_FLAT:
		return "This KVM runs flat guests only (make flat). Run stock kernels with "
		       "bed/run, or on a machine with VMX or SVM.";
	case PROBE_STATUS_UNUSABLE:
	default:
		return advice_for_error(r);
	}
}

/* ---- for programs -------------------------------------------------------- */

static json_t *json_kvm(const struct probe_result *r)
{
	return json_pack("{s:s, s:b, s:b, s:i, s:s, s:s, s:b, s:s}", "path", r->path, "present",
		r->present, "usable", r->usable, "api_version", r->api_version, "kind",
		kind_names[r->kind], "hypervisor", r->hypervisor, "kernel_hyperv", r->kernel_hyperv,
		"error", r->open_error ? strerror(r->open_error) : "");
}

static json_t *json_capabilities(const struct probe_result *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->capability_count; i++) {
		const struct probe_capability *c = &r->capability[i];

		json_array_append_new(
			list, json_pack("{s:s, s:i, s:i, s:b, s:b, s:s}", "name", c->name, "number",
				      c->number, "value", c->value, "have", c->value != 0, "needed",
				      c->needed, "purpose", c->purpose));
	}
	return list;
}

static json_t *json_instructions(const struct probe_result *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->instruction_count; i++) {
		const struct probe_instruction *insn = &r->instruction[i];

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:i, s:b, s:s}", "name", insn->name, "result",
				      outcome_names[insn->outcome], "detail", insn->detail,
				      "needed", insn->needed, "purpose", insn->purpose));
	}
	return list;
}

json_t *probe_json(const struct probe_result *r)
{
	return json_pack("{s:o, s:o, s:o, s:b, s:s}", "kvm", json_kvm(r), "capabilities",
		json_capabilities(r), "instructions", json_instructions(r), "distro_kernel",
		r->distro_kernel, "advice", probe_advice(r));
}

/* ---- for people ---------------------------------------------------------- */

static char *cell_needed(const json_t *value)
{
	return strdup(json_is_true(value) ? "needed" : "optional");
}

static char *cell_have(const json_t *value)
{
	return json_integer_value(value) ? cell_count(value) : strdup("missing");
}

static void print_kvm(const struct probe_result *r, FILE *to)
{
	fprintf(to, "%s: ", r->path);
	if (!r->present)
		fprintf(to, "missing\n");
	else if (r->open_error)
		fprintf(to, "%s\n", strerror(r->open_error));
	else
		fprintf(to, "API version %d, backed by %s\n", r->api_version, kind_names[r->kind]);
	if (r->hypervisor[0])
		fprintf(to, "this machine itself runs on: %s\n", r->hypervisor);
	if (r->api_version)
		fprintf(to, "KVM's own Hyper-V emulation: %s (never used)\n",
			r->kernel_hyperv ? "present" : "absent");
}

/* clang-format off */
static const struct table_column capability_columns[] = {
	{"capability", "name", cell_text},
	{"number", "number", cell_count},
	{"have", "value", cell_have},
	{"", "needed", cell_needed},
	{"for", "purpose", cell_text},
	{NULL, NULL, NULL},
};

static const struct table_column instruction_columns[] = {
	{"ring-0 instruction", "name", cell_text},
	{"result", "shown", cell_text},
	{"", "needed", cell_needed},
	{"for", "purpose", cell_text},
	{NULL, NULL, NULL},
};
/* clang-format on */

/* The detail is a vector or an error only with these results. */
static json_t *instruction_rows(const struct probe_result *r)
{
	json_t *rows = json_instructions(r);

	for (size_t i = 0; i < r->instruction_count; i++) {
		const struct probe_instruction *insn = &r->instruction[i];
		bool detail = insn->outcome == PROBE_FAULTED || insn->outcome == PROBE_BROKEN;

		json_object_set_new(json_array_get(rows, i), "shown",
			detail ? json_sprintf("%s (%d)", outcome_names[insn->outcome], insn->detail)
			       : json_string(outcome_names[insn->outcome]));
	}
	return rows;
}

static void print_tables(const struct probe_result *r, FILE *to)
{
	struct table_page page = {.out = to, .begun = true};
	json_t *capabilities = json_capabilities(r), *instructions = instruction_rows(r);

	if (r->api_version)
		table_print(&page, capability_columns, capabilities);
	table_print(&page, instruction_columns, instructions);
	json_decref(capabilities);
	json_decref(instructions);
}

void probe_print(const struct probe_result *r, FILE *to)
{
	print_kvm(r, to);
	print_tables(r, to);
	fprintf(to, "\nstock kernels: %s. %s\n", r->distro_kernel ? "yes" : "no", probe_advice(r));
}

/* ---- the command --------------------------------------------------------- */

static int probe(bool json)
{
	struct probe_result result;
	json_t *object;

	probe_run(&result);
	if (!json) {
		probe_print(&result, stdout);
		return probe_status(&result);
	}
	object = probe_json(&result);
	json_dumpf(object, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(object);
	return probe_status(&result);
}

int cmd_probe(int argc, char **argv)
{
	bool json = argc > 1 && !strcmp(argv[1], "--json");
	struct err e;

	if (argc <= 1 + json)
		return probe(json);
	err_set(&e, -EINVAL, "probe: unknown option %s; usage: enlite probe [--json]",
		argv[1 + json]);
	return cmd_fail(&e, EXIT_USAGE);
}
