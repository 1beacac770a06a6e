def render(header, documents, lock):
    return {"card.md": f"# {header['name']}\n"}
