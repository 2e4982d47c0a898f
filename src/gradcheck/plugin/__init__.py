"""What the pytest plugin does once it is used; `gradcheck.pytest_plugin` has its hooks."""
