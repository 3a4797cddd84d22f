"""What tests stand on: clients, servers, applications and a loop on which time is fake."""
