"""Password hashes that cost nearly nothing, where what a hash costs is not what is tested."""

from argon2 import PasswordHasher

from core.passwords import Passwords

QUICK = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
