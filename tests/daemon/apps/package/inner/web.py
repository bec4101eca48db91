from forms import named


class Site:
    wsgi = staticmethod(named("package.inner.web:site.wsgi"))


site = Site()
