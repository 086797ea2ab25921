"""Is the engine that ships still right?"""
