"""A written report as its tests see it: text, tags, ids, links, cells."""

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """What a page holds; checks that every element is closed in its turn."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.cells, self.text, self.verdict = [], [], [], [], [], "", ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [value for name, value in attrs if name in {"href", "src"}]
        if tag == "td":
            self.cells.append("")
        if tag not in VOID:
            self.open.append((tag, attributes.get("class")))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.text += data
        if ("p", "verdict") in self.open:
            self.verdict += data
        if any(tag == "td" for tag, _ in self.open):
            self.cells[-1] += f"{data} "
