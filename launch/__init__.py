"""absl programs: flags in, one library call, a printed summary."""
