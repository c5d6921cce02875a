# SPDX-License-Identifier: MIT
#
# A formatter of TAP::Harness that counts and prints what did not pass. It trusts nobody: a program
# without tests, with fewer than planned, or with a status of its own is a failure.
package Counter;
use strict;
use warnings;
use IO::Handle;
use Time::HiRes 'time';
use base 'TAP::Base';

# summary: file; suite_of: {test name => suite}; verbose; strict_skips: patterns, undef: any skip.
sub _initialize {
	my ($self, $options) = @_;
	%$self = (%$self, %$options, passed => 0, failed => 0, skipped => 0, tests_of => {}, seconds_of => {});
	open $self->{tap}, '>', $self->{summary} or die "$self->{summary}: $!\n";
	STDOUT->autoflush(1);
	return $self;
}

sub prepare { }
sub verbosity { 0 }
sub summary { }

sub open_test {
	my ($self, $name, $parser) = @_;
	return Counter::Session->new({counter => $self, name => $name, parser => $parser, begun => time});
}

sub show {
	my ($self, $line, $always) = @_;
	print {$self->{tap}} "$line\n";
	print "$line\n" if $always || $self->{verbose};
}

sub expected {
	my ($self, $line) = @_;
	return !$self->{strict_skips} || grep { $line =~ /$_/ } @{$self->{strict_skips}};
}

# Counts one result and says how it counts.
sub count {
	my ($self, $result) = @_;
	my $line = $result->as_string;
	if ($result->has_skip && $result->explanation =~ /\S/ && $self->expected($line)) {
		$self->{skipped}++;
		$self->show($line, 1);
	} elsif ($result->has_skip) {
		my $why = $result->explanation =~ /\S/ ? 'tests/skips.txt does not expect this' : 'it has no reason';
		$self->fail("$line ($why)");
	} elsif ($result->is_actual_ok) {
		$self->{passed}++;
		$self->show($line, 0);
	} else {
		$self->fail($line);
	}
}

sub fail {
	my ($self, $line) = @_;
	$self->{failed}++;
	$line =~ s/\A(?:not )?ok/not ok/;
	$self->show($line, 1);
}

# The longest suites last; with the closing line alone on the last line.
sub finish {
	my $self = shift;
	my $seconds = $self->{seconds_of};
	printf "# %-8s %5d tests, %7.1f s of work\n", $_, $self->{tests_of}{$_}, $seconds->{$_}
		for sort { $seconds->{$a} <=> $seconds->{$b} } keys %$seconds;
	my $line = "$self->{passed} passed, $self->{failed} failed";
	$line .= ", $self->{skipped} skipped" if $self->{skipped};
	print "$line\n";
	return $self->{failed} || !$self->{passed} ? 1 : 0;
}

package Counter::Session;
use strict;
use warnings;
use Time::HiRes 'time';

sub new {
	my ($class, $self) = @_;
	return bless {%$self, tests => 0, failed => 0}, $class;
}

# Comments belong to the failure before them.
sub result {
	my ($self, $result) = @_;
	my $counter = $self->{counter};
	if ($result->is_test) {
		my $before = $counter->{failed};
		$counter->count($result);
		$self->{tests}++;
		$self->{explains} = $counter->{failed} - $before;
		$self->{failed} += $self->{explains};
	} elsif ($result->is_comment) {
		$counter->show($result->as_string, $self->{explains});
	}
}

# What the parser knows that no test line said.
sub close_test {
	my $self = shift;
	my ($counter, $parser, $name) = @$self{qw(counter parser name)};
	my @wrong = $parser->parse_errors;
	push @wrong, 'no test' if !$self->{tests} && !@wrong;
	push @wrong, 'status ' . $parser->exit if $parser->exit && !$self->{failed};
	$counter->fail("not ok - $name: $_") for @wrong;
	$counter->{tests_of}{$counter->{suite_of}{$name}} += $self->{tests};
	$counter->{seconds_of}{$counter->{suite_of}{$name}} += time - $self->{begun};
}

1;
