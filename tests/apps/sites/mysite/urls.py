from django.contrib import admin
from django.urls import path

from . import views

urlpatterns = [
    path("", views.index),
    path("admin/", admin.site.urls),
    path("breaks", views.breaks),
    path("cookies", views.cookies),
    path("count", views.count),
    path("digest", views.digest),
    path("fails", views.fails),
    path("file", views.file),
    path("form", views.form),
    path("guarded", views.guarded),
    path("json", views.json),
    path("old", views.old),
    path("query", views.query),
    path("stream", views.stream),
    path("upload", views.upload),
    path("user/<name>", views.user),
]
