"""`python -m search.generate`, by which `python -m trainable.generate` was called before."""

from trainable.generate import main

if __name__ == "__main__":
    raise SystemExit(main())
