/* The server program. */
int main(void)
{
    return 0;
}
