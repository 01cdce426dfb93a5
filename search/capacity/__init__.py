"""What the machines can do: nodes, GPU shares and how long a search takes."""
