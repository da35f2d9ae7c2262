"""What tests share: an oracle, cases, backends, processes, made-up logs."""
